"""Costs of programs: counted as by hand, and as XLA counts what it counts."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from geoattn_jax.bench.compiled import hlo
from geoattn_jax.bench.compiled.costs import costs, uses_float64
from geoattn_jax.bench.compiled.flops import product_flops

EVERY_PLATFORM = True

CYCLES = 'backend_config={{"window_config":{{"estimated_cycles":"{}"}}}}'.format
TEXT = f"""\
%sum (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %s = f32[] add(%a, %b)
}}

%fused (image: f32[6,5], rows: s32[7,2]) -> f32[7] {{
  %image = f32[6,5] parameter(0)
  %rows = s32[7,2] parameter(1)
  ROOT %g = f32[7] gather(%image, %rows), collapsed_slice_dims={{0,1}}, index_vector_dim=1
}}

%body (p: (s32[], f32[6,5], s32[7,2], f32[7])) -> (s32[], f32[6,5], s32[7,2], f32[7]) {{
  %p = (s32[], f32[6,5], s32[7,2], f32[7]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %image = f32[6,5] get-tuple-element(%p), index=1
  %rows = s32[7,2] get-tuple-element(%p), index=2
  %values = f32[7] get-tuple-element(%p), index=3
  %one = s32[] constant(1)
  %next = s32[] add(%i, %one)
  %read = f32[7] fusion(%image, %rows), kind=kLoop, calls=%fused, {CYCLES(100)}
  %added = f32[6,5] scatter(%image, %rows, %values), index_vector_dim=1, to_apply=%sum
  %summed = f32[7] all-reduce(%read), to_apply=%sum
  ROOT %t = (s32[], f32[6,5], s32[7,2], f32[7]) tuple(%next, %added, %rows, %summed)
}}

%condition (p: (s32[], f32[6,5], s32[7,2], f32[7])) -> pred[] {{
  %p = (s32[], f32[6,5], s32[7,2], f32[7]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %four = s32[] constant(4)
  ROOT %c = pred[] compare(%i, %four), direction=LT
}}

ENTRY %main (image: f32[6,5], rows: s32[7,2], values: f32[7]) -> f32[6,5] {{
  %image = f32[6,5] parameter(0)
  %rows = s32[7,2] parameter(1)
  %values = f32[7] parameter(2)
  %zero = s32[] constant(0)
  %twice = f32[6,5] add(%image, %image), {CYCLES(30)}
  %moving = (f32[7], f32[7], u32[]) copy-start(%values)
  %moved = f32[7] copy-done(%moving)
  %state = (s32[], f32[6,5], s32[7,2], f32[7]) tuple(%zero, %twice, %rows, %moved)
  %w = (s32[], f32[6,5], s32[7,2], f32[7]) while(%state), condition=%condition, body=%body
  ROOT %r = f32[6,5] get-tuple-element(%w), index=1
}}
"""


ON_A_SPARSECORE = f"""\
%gathering (image: f32[6,5], rows: s32[7,2]) -> f32[7] {{
  %image = f32[6,5] parameter(0)
  %rows = s32[7,2] parameter(1)
  ROOT %g = f32[7] gather(%image, %rows), index_vector_dim=1, {CYCLES(2**63 - 1)}
}}, execution_thread="sparsecore"

ENTRY %main (image: f32[6,5], rows: s32[7,2]) -> f32[7] {{
  %image = f32[6,5] parameter(0)
  %rows = s32[7,2] parameter(1)
  %start = ((), (), (s32[1])) call-start(), async_execution_thread="sparsecore", to_apply=%gathering
  %update = ((f32[6,5], s32[7,2]), f32[7]) call-update(%start, %image, %rows)
  %done = f32[7] call-done(%update)
  ROOT %twice = f32[7] add(%done, %done), {CYCLES(30)}
}}
"""


def test_what_runs_on_a_sparsecore_counts():
    found = costs(hlo.parse(ON_A_SPARSECORE))
    assert (found.gathered, found.cycles) == (7, 30)


def test_loops_multiply_everything():
    found = costs(hlo.parse(TEXT))
    assert found.cycles == 30 + 4 * 100
    assert found.gathered == found.scattered == 4 * 7
    assert found.collectives == {"all-reduce": 4}
    twice, moved = 3 * 120, 2 * 28
    read, added, summed = 28 + 56 + 28, 56 + 28 + 2 * 28, 28 + 28
    counter, comparison = 3 * 4, 4 + 4 + 1
    assert found.bytes == twice + moved + 4 * (read + added + summed + counter) + 5 * comparison
    assert found.launches == 2 + 4 * 4 + 5
    assert found.index_loops == []


def lowered(function, *arrays):
    return jax.jit(function).lower(*(jax.ShapeDtypeStruct(*array) for array in arrays))


def written(function, *arrays):
    return hlo.parse(lowered(function, *arrays).as_text(dialect="hlo"))


def test_indices_of_this_jax():
    def function(x, rows):
        return x[rows].sum((0, 1)) + jnp.zeros_like(x).at[rows].add(1.0)

    found = costs(written(function, ((9, 4), "float32"), ((5, 3), "int32")))
    assert (found.gathered, found.scattered) == (15, 15)


def test_collectives_of_this_jax():
    mesh = jax.make_mesh((8,), ("batch",))
    split = NamedSharding(mesh, PartitionSpec("batch"))
    program = jax.jit(jnp.sum, in_shardings=split).lower(jax.ShapeDtypeStruct((16, 3), "float32")).compile()
    assert costs(hlo.parse(program.as_text())).collectives == {"all-reduce": 1}


CONVOLUTIONS = {
    "strides and padding": {"window_strides": (2, 1), "padding": "SAME"},
    "dilated": {"window_strides": (1, 2), "padding": ((3, 1), (0, 2)), "rhs_dilation": (2, 1)},
    "transposed": {"window_strides": (1, 1), "padding": ((2, 2), (1, 1)), "lhs_dilation": (2, 3)},
    "grouped": {"window_strides": (1, 1), "padding": "VALID", "feature_group_count": 2},
    "batch groups": {"window_strides": (1, 1), "padding": "VALID", "batch_group_count": 3},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_operations_of_convolutions_are_those_that_xla_counts(name):
    options = CONVOLUTIONS[name]
    inputs = 2 if name == "grouped" else 4

    def function(x, w):
        return lax.conv_general_dilated(x, w, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)

    program = lowered(function, ((6, 7, 8, 4), "float32"), ((3, 2, inputs, 6), "float32"))
    assert product_flops(hlo.parse(program.as_text(dialect="hlo"))) == program.cost_analysis()["flops"]


def test_operations_of_products_are_multiplied_by_their_loops():
    def step(x, w):
        return jnp.einsum("bij,bjk->bik", x, w), None

    def function(x, w):
        return lax.scan(step, x, w)[0]

    program = written(function, ((2, 3, 4), "float32"), ((5, 2, 4, 4), "float32"))
    assert product_flops(program) == 5 * 2 * (2 * 3 * 4 * 4)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("dtype", "found"), [("float32", False), ("float64", True), ("complex128", True)])
def test_float64(dtype, found):
    assert uses_float64(written(jnp.sin, ((3,), dtype))) is found


def test_a_float64_in_between_is_found(x64):
    through = written(lambda x: jnp.sin(x.astype("float64")).astype("float32"), ((3,), "float32"))
    assert uses_float64(through)
