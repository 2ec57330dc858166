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


@pytest.mark.parametrize("schedule", ["TPU", "GPU"])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_every_schedule_computes_the_same(operation, schedule, monkeypatch, x64):
    """An accelerator's schedule, run here in the place of the CPU's."""
    arguments = on_device(operation.arguments(batch=2))
    if operation.where == "coords":  # as many channels as fill the vectors that cells are packed in
        arguments["image"] = jnp.tile(arguments["image"], (1, 1, 1, 12))
    expected = jax.tree.leaves(compute(operation.fast, arguments))
    chosen = getattr(schedules, schedule)
    monkeypatch.setattr(schedules, "CPU", chosen._replace(part_bytes=2000, tap_bytes=2000))

    def fast(**arguments):  # compiled anew
        return operation.fast(**arguments)

    for ours, other in zip(jax.tree.leaves(compute(fast, arguments)), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)
