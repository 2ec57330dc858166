"""Windows read where they lie: equal to cutting them out first, in values, gradients and errors; no copy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import normal, positions

from geoattn_jax import affine_grid, bilinear_sample
from geoattn_jax.layers import max_pool
from geoattn_jax.ops.crop import max_pool_crop, sample_crop

IMAGE_HW, CROP_HW = (11, 13), (7, 9)
TOP_LEFT = jnp.array([[0, 0], [4, 4], [1, 3]])  # the image's first and last windows, and another


def cut(image, top_left=TOP_LEFT, crop_hw=CROP_HW):
    pairs = zip(image, top_left, strict=True)
    return jnp.stack([one[y : y + crop_hw[0], x : x + crop_hw[1]] for one, (y, x) in pairs])


def on_kinks():
    """All whole positions in and around the window, where derivatives jump."""
    rows, columns = (np.arange(-2.0, size + 2) for size in CROP_HW)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.broadcast_to(grid, (3, *grid.shape))


@pytest.mark.parametrize("coords", [positions(1, 3, 4, 5, hw=CROP_HW), on_kinks()], ids=["between", "whole"])
def test_sampling_a_window_equals_sampling_its_copy(x64, coords):
    image, coords = jnp.asarray(normal(0, 3, *IMAGE_HW, 2)), jnp.asarray(coords)
    cotangent = normal(2, *coords.shape[:-1], 2)
    actual, vjp = jax.vjp(
        lambda image, coords: sample_crop(image, TOP_LEFT, coords, crop_hw=CROP_HW), image, coords
    )
    expected, vjp_of_cut = jax.vjp(lambda image, coords: bilinear_sample(cut(image), coords), image, coords)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(vjp(cotangent), vjp_of_cut(cotangent), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_positions_far_out_and_nan():
    image = jnp.ones((1, *IMAGE_HW, 1))
    coords = jnp.array([[[-1e9, 2.0], [2.0, np.inf], [-np.inf, 0.0], [np.nan, 2.0], [3.0, 2.0]]])
    samples = sample_crop(image, TOP_LEFT[1:2], coords, crop_hw=CROP_HW)
    np.testing.assert_array_equal(samples[0, :, 0], [0, 0, 0, np.nan, 1])


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_pooling_a_window_equals_pooling_its_copy(x64, window):
    image = jnp.asarray(normal(0, 3, *IMAGE_HW, 2))
    pooled = max_pool_crop(image, TOP_LEFT, crop_hw=CROP_HW, window=window)
    assert pooled.dtype == jnp.float64
    np.testing.assert_array_equal(pooled, max_pool(cut(image), window))


def test_under_jit_vmap_and_bfloat16():
    image = jnp.asarray(normal(0, 2, 3, *IMAGE_HW, 2), jnp.bfloat16)
    coords = jnp.asarray(positions(1, 2, 3, 6, hw=CROP_HW), jnp.float32)

    def both(image, coords):
        pooled = max_pool_crop(image, TOP_LEFT, crop_hw=CROP_HW, window=2)
        return pooled, sample_crop(image, TOP_LEFT, coords, crop_hw=CROP_HW)

    pooled, samples = jax.jit(jax.vmap(both))(image, coords)
    assert pooled.dtype == samples.dtype == jnp.bfloat16
    for n in range(2):
        np.testing.assert_array_equal(pooled[n], max_pool(cut(image[n])))
        expected = bilinear_sample(cut(image[n]), coords[n]).astype(jnp.float32)
        np.testing.assert_allclose(samples[n].astype(jnp.float32), expected, rtol=0.02, atol=0.02)


def test_the_papers_crop_is_never_copied():
    """A detail-level crop of 896 pixels, pooled four times and sampled at 224 x 224, forward and backward."""
    frames = jax.ShapeDtypeStruct((2, 896, 1189, 3), jnp.float32)
    top_left = jax.ShapeDtypeStruct((2, 2), jnp.int32)
    theta = jax.ShapeDtypeStruct((2, 2, 3), jnp.float32)
    crop_hw, crop_bytes = (896, 896), 2 * 896 * 896 * 3 * 4

    def pool(frames, top_left):
        return max_pool_crop(frames, top_left, crop_hw=crop_hw, window=4)

    def gradient(frames, top_left, theta):
        def loss(theta):
            coords = affine_grid(theta, input_hw=crop_hw, output_hw=(224, 224))
            return jnp.sum(sample_crop(frames, top_left, coords, crop_hw=crop_hw) ** 2)

        return jax.grad(loss)(theta)

    def pool_a_copy(frames, top_left):
        crops = jax.vmap(lambda frame, start: jax.lax.dynamic_slice(frame, (*start, 0), (896, 896, 3)))
        return max_pool(crops(frames, top_left), 4)

    assert temporary_bytes(pool, frames, top_left) < crop_bytes / 10
    assert temporary_bytes(gradient, frames, top_left, theta) < 0.6 * crop_bytes
    assert temporary_bytes(pool_a_copy, frames, top_left) >= crop_bytes  # the measure sees a copy


def temporary_bytes(function, *shapes):
    return jax.jit(function).lower(*shapes).compile().memory_analysis().temp_size_in_bytes


IMAGE = np.zeros((3, *IMAGE_HW, 2), np.float32)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": IMAGE[0]}, "image must have axes"),
        ({"top_left": TOP_LEFT[:2]}, r"top_left must have shape \(3, 2\) .* got \(2, 2\)"),
        ({"top_left": TOP_LEFT.astype(jnp.float32)}, "top_left must hold whole numbers, got float32"),
        ({"crop_hw": (0, 3)}, "crop_hw must be two whole numbers"),
        ({"crop_hw": (12, 9)}, r"crop_hw must fit into the image of shape .* got \(12, 9\)"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"image": IMAGE, "top_left": TOP_LEFT, "crop_hw": CROP_HW} | changes
    image, top_left, crop_hw = (jnp.asarray(arguments["image"]), arguments["top_left"], arguments["crop_hw"])
    with pytest.raises(ValueError, match=f"sample_crop: {message}"):
        sample_crop(image, top_left, jnp.zeros((3, 4, 2)), crop_hw=crop_hw)
    with pytest.raises(ValueError, match=f"max_pool_crop: {message}"):
        max_pool_crop(image, top_left, crop_hw=crop_hw, window=2)


@pytest.mark.usefixtures("unchecked")
def test_bad_coords_and_window():
    with pytest.raises(ValueError, match="sample_crop: coords must have axes"):
        sample_crop(jnp.asarray(IMAGE), TOP_LEFT, jnp.zeros(3), crop_hw=CROP_HW)
    with pytest.raises(ValueError, match="max_pool_crop: window must be from 1 to the shorter side"):
        max_pool_crop(jnp.asarray(IMAGE), TOP_LEFT, crop_hw=CROP_HW, window=8)
