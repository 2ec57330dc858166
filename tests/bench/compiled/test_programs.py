"""Every program that is compiled can be traced, and is what it says it is."""

import jax
import numpy as np
import pytest

from geoattn_jax.bench import kernels
from geoattn_jax.bench.compiled import hlo
from geoattn_jax.bench.compiled.costs import costs
from geoattn_jax.bench.compiled.flops import product_flops
from geoattn_jax.bench.compiled.programs import WORKLOADS

EVERY_PLATFORM = True

KERNELS = kernels.WORKLOADS
STEPS = ("lenet", "stn", "dcn", "deform", "rounds", "sstn")


def test_the_kernels_and_all_training_steps_are_compiled():
    assert list(WORKLOADS) == [*KERNELS, "S3-axes", *STEPS]


@pytest.mark.parametrize(
    ("name", "inputs", "positions"),
    [(name, len(workload.inputs(np.random.default_rng(0), True)), 1) for name, workload in KERNELS.items()]
    + [("S3-axes", 3, 2)],
)
def test_kernels(name, inputs, positions):
    programs = list(WORKLOADS[name].programs(name, jax.devices()))
    axes = 3 if name in ("S5", "D3") else 2  # of the images
    assert {(program.mode, program.dtype) for program in programs} == {
        (mode, dtype) for mode in (kernels.FORWARD, kernels.BOTH) for dtype in ("float32", "bfloat16")
    }
    for program in programs:
        entry = hlo.parse(program.lower().as_text(dialect="hlo")).entry
        arguments = [step.arrays[0] for step in entry.instructions.values() if step.opcode == "parameter"]
        dtype = {"float32": "f32", "bfloat16": "bf16"}[program.dtype]
        assert len(arguments) == inputs + (program.mode == kernels.BOTH)
        of_positions = [dims[-1] == axes or len(dims) == 2 for _, dims in arguments]
        assert sum(of_positions) == positions
        for (found, _), is_position in zip(arguments, of_positions, strict=True):
            assert found == ("f32" if is_position else dtype)


@pytest.mark.parametrize("name", STEPS)
def test_steps(name):
    devices = jax.devices()[:4]
    programs = list(WORKLOADS[name].programs(name, devices))
    shared = name in ("lenet", "stn", "dcn", "deform")
    alone = [1, 1] if name == "sstn" else [1]  # in float32, and in bfloat16 rematerialized
    assert [program.devices for program in programs] == ([1, 4] if shared else alone)
    lowered = programs[-1].lower().as_text(dialect="hlo")
    assert ("devices=[4" in lowered) is shared
    program = hlo.parse(lowered)
    assert product_flops(program) > 1e9
    assert all(loop.trips is not None for loop in costs(program).loops)
