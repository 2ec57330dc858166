"""One exported program for every platform: it holds the schedules of all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import (
    ALL_OPERATIONS,
    ATTENTION,
    BICUBIC,
    OPERATIONS,
    TRILINEAR,
    VOLUMES_CONV,
    compute,
    every_operation,
    on_device,
)
from jax import export

from geoattn_jax.ops import platforms
from geoattn_jax.ops.crop import max_pool_crop

EVERY_PLATFORM = True

PLATFORMS = ("cpu", "cuda", "tpu")


@every_operation(TRILINEAR, ATTENTION)
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
    (BICUBIC, "TPU", 1),
    (TRILINEAR, "TPU", 1),
    (TRILINEAR, "GPU", 1),
    (TRILINEAR, "TPU", 24),
    (VOLUMES_CONV, "TPU", 1),
    (ATTENTION, "TPU", 1),
    (ATTENTION, "GPU", 1),
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
    operation = ALL_OPERATIONS[name]
    arguments = on_device(operation.arguments(batch=2))
    for argument, axis in ((operation.image, -1), ("kernel", -2)):
        if argument in arguments:
            arguments[argument] = jnp.concatenate([arguments[argument]] * copies, axis=axis)
    expected = jax.tree.leaves(compute(operation.fast, arguments))
    chosen = getattr(platforms, schedule)
    monkeypatch.setattr(platforms, "CPU", chosen._replace(part_bytes=2000, tap_bytes=2000))

    def fast(**arguments):  # compiled anew
        return operation.fast(**arguments)

    for ours, other in zip(jax.tree.leaves(compute(fast, arguments)), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


def test_a_kernels_gradient_is_summed_alike_on_one_device(monkeypatch, x64):
    operation = OPERATIONS["deform_conv2d"]
    arguments = on_device(operation.arguments())
    expected = jax.tree.leaves(compute(operation.fast, arguments))
    monkeypatch.setattr(jax, "device_count", lambda: 1)

    def fast(**arguments):  # compiled anew
        return operation.fast(**arguments)

    for ours, other in zip(jax.tree.leaves(compute(fast, arguments)), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


def test_crops_are_pooled_alike_by_rows_as_on_a_tpu(monkeypatch):
    """Values, some of them equal, and how these share the gradient."""
    image = jnp.asarray(np.random.default_rng(0).integers(0, 3, size=(3, 9, 8, 2)), jnp.float32)
    top_left = jnp.array([[0, 0], [2, 1], [3, 2]])

    def pool(image):
        return max_pool_crop(image, top_left, crop_hw=(6, 5), window=2)

    def values_and_gradient():
        maxima, vjp = jax.vjp(pool, image)
        return pool(image), maxima, *vjp(jnp.arange(maxima.size, dtype=maxima.dtype).reshape(maxima.shape))

    expected = values_and_gradient()
    monkeypatch.setattr(platforms, "CPU", platforms.TPU)
    for ours, other in zip(values_and_gradient(), expected, strict=True):
        np.testing.assert_array_equal(ours, other)
