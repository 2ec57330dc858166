"""Programs in text form are read as they are meant."""

import jax
import jax.numpy as jnp
import pytest

from geoattn_jax.bench.compiled import hlo

TEXT = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[3,4]{1,0})->(f32[3,4]{1,0}, s32[])}

FileNames
1 "f.py"

%fused (param_0: f32[3,4], param_1: s32[]) -> f32[3,4] {
  %param_0 = f32[3,4]{1,0:T(8,128)S(1)} parameter(0)
  %param_1 = s32[]{:T(128)} parameter(1)
  ROOT %add.1 = f32[3,4]{1,0} add(%param_0, %param_0), metadata={op_name="jit(f)/while/body/add" id=3}
}

ENTRY %main (x: f32[3,4]) -> (f32[3,4], s32[]) {
  %x = f32[3,4]{1,0} parameter(0)
  %c = bf16[2]{0} constant({1, 2})
  %n = s32[]{:T(128)} constant(-7)
  %f.2 = f32[3,4]{1,0} fusion(%x, /*index=1*/%n), kind=kLoop, calls=%fused, backend_config={"a":{"b":"1"}}
  %branch = f32[3,4]{1,0} conditional(%n, %x, %x), branch_computations={%fused, %fused}
  ROOT %t = (f32[3,4]{1,0}, (s32[], pred[<=5]{0})) tuple(f32[3,4]{1,0} %f.2, s32[] %n)
}
"""


def test_a_compiled_program():
    program = hlo.parse(TEXT)
    assert set(program.computations) == {"fused", "main"}
    assert program.entry.name == "main"
    steps = program.entry.instructions
    assert list(steps) == ["x", "c", "n", "f.2", "branch", "t"]
    assert program.entry.root is steps["t"]
    assert steps["f.2"].operands == ("x", "n")
    assert steps["f.2"].called == {"calls": ["fused"]}
    assert steps["branch"].called == {"branch_computations": ["fused", "fused"]}
    assert steps["t"].operands == ("f.2", "n")
    assert steps["t"].arrays == [("f32", (3, 4)), ("s32", ()), ("pred", (5,))]
    assert steps["t"].bytes == 48 + 4 + 5
    assert (steps["c"].operands, steps["c"].bytes) == (("{1, 2}",), 4)
    assert steps["n"].operands == ("-7",)
    fused = program.computations["fused"]
    assert fused.instructions["param_0"].arrays == [("f32", (3, 4))]
    assert fused.root.source == "add"
    assert steps["x"].source == ""


def test_integers_of_attributes():
    gather = hlo.Instruction("g", "gather", "f32[2]", (), "offset_dims={1,2}, empty={}, index_vector_dim=3")
    assert gather.integers("offset_dims") == (1, 2)
    assert gather.integers("index_vector_dim") == (3,)
    assert gather.integers("empty") == gather.integers("missing") == ()


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("f32", 4), ("bf16", 2), ("f8e4m3fn", 1), ("s4", 1), ("c128", 16), ("pred", 1), ("token", 0)],
)
def test_sizes_of_elements(dtype, size):
    assert hlo.itemsize(dtype) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HloModule m\n", "no entry computation"),
        ("ENTRY %m (x: f32[]) -> f32[] {\n  what is this\n}\n", "no instruction in computation m: 'what is"),
        ("ENTRY %m (x: f32[]) -> f32[] {\n  %x = f32[] parameter(0)\n}\n", "computation m has no root"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        hlo.parse(text)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_program_of_this_jax(compiled):
    def function(x):
        return jax.lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) @ y, x).sum()

    lowered = jax.jit(function).lower(jax.ShapeDtypeStruct((4, 4), "float32"))
    program = hlo.parse(lowered.compile().as_text() if compiled else lowered.as_text(dialect="hlo"))
    opcodes = {step.opcode for part in program.computations.values() for step in part.instructions.values()}
    assert {"parameter", "while", "dot", "sine"} <= opcodes
    for part in program.computations.values():
        for step in part.instructions.values():
            list(program.called(step))
            if step.opcode not in ("constant", "parameter"):
                assert len(part.operands(step)) == len(step.operands)
