"""One exported program for every platform: it holds the schedules of all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import OPERATIONS, compute, on_device
from jax import export

from geoattn_jax.ops import schedules

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_one_export_serves_all_platforms(operation):
    arguments = on_device(operation.arguments(), jnp.float32)

    def both(arguments):
        return compute(operation.fast, arguments)

    exported = export.export(jax.jit(both), platforms=PLATFORMS)(arguments)
    restored = export.deserialize(exported.serialize())
    assert restored.platforms == PLATFORMS
    for ours, expected in zip(
        jax.tree.leaves(restored.call(arguments)), jax.tree.leaves(both(arguments)), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


SCHEDULED = [(name, schedule, 1) for name in OPERATIONS for schedule in ("TPU", "GPU")] + [
    # With so many channels that cells are packed, patches are read and packed cells added to, or just read.
    ("bilinear_sample-border", "TPU", 12),
    ("bilinear_sample-zeros", "TPU", 24),
    ("bilinear_sample-border", "TPU", 40),
    ("deform_conv2d", "TPU", 12),
    ("deform_conv2d", "TPU", 24),
]


@pytest.mark.parametrize(("name", "schedule", "copies"), SCHEDULED)
def test_every_schedule_computes_the_same(name, schedule, copies, monkeypatch, x64):
    """An accelerator's schedule, run here in the place of the CPU's."""
    operation = OPERATIONS[name]
    arguments = on_device(operation.arguments(batch=2))
    for argument, axis in (("image", 3), ("kernel", 2)):
        if argument in arguments:
            arguments[argument] = jnp.concatenate([arguments[argument]] * copies, axis=axis)
    expected = jax.tree.leaves(compute(operation.fast, arguments))
    chosen = getattr(schedules, schedule)
    monkeypatch.setattr(schedules, "CPU", chosen._replace(part_bytes=2000, tap_bytes=2000))

    def fast(**arguments):  # compiled anew
        return operation.fast(**arguments)

    for ours, other in zip(jax.tree.leaves(compute(fast, arguments)), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)
