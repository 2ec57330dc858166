"""affine_grid and crop_theta."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from inputs import normal
from jax.test_util import check_grads

from geoattn_jax import affine_grid, bilinear_sample, crop_theta

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
both_conventions = pytest.mark.parametrize("align_corners", [False, True])


@both_conventions
@pytest.mark.parametrize(
    ("input_hw", "output_hw"), [((5, 7), (4, 6)), ((1, 6), (3, 2)), ((4, 1), (1, 5)), ((3, 8), (1, 1))]
)
def test_affine_grid_equals_the_loops(x64, align_corners, input_hw, output_hw):
    theta = normal(0, 3, 2, 3)
    sizes = {"input_hw": input_hw, "output_hw": output_hw, "align_corners": align_corners}
    grid = affine_grid(jnp.asarray(theta), **sizes)
    assert grid.shape == (3, *output_hw, 2)
    np.testing.assert_allclose(grid, oracles.affine_grid(theta, **sizes), rtol=0, atol=1e-12)


@both_conventions
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("hw", [(5, 7), (28, 49), (1, 6), (97, 1)])
def test_identity_gives_exact_integers(hw, align_corners, dtype):
    theta = jnp.asarray(IDENTITY[None], dtype)
    grid = affine_grid(theta, input_hw=hw, output_hw=hw, align_corners=align_corners)
    assert grid.dtype == dtype
    np.testing.assert_array_equal(grid[0].astype(jnp.float32), np.moveaxis(np.indices(hw), 0, -1))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[-1.0, 0, 0], [0, 1, 0]], lambda image: image[:, ::-1]),
        ([[1.0, 0, 0], [0, -1, 0]], lambda image: image[::-1]),
        # Target right reads source down: the source's columns become rows.
        ([[0.0, 1, 0], [1, 0, 0]], lambda image: image.transpose(1, 0, 2)),
        ([[0.0, -1, 0], [1, 0, 0]], lambda image: np.rot90(image)),
        ([[1.0, 0, 2 * 2 / 5], [0, 1, 0]], lambda image: np.pad(image[:, 2:], ((0, 0), (0, 2), (0, 0)))),
        ([[1.0, 0, 0], [0, 1, -2 * 1 / 5]], lambda image: np.pad(image[:-1], ((1, 0), (0, 0), (0, 0)))),
    ],
    ids=["mirror x", "mirror y", "transpose", "quarter turn", "shift x", "shift y"],
)
def test_known_transformations(x64, matrix, expected):
    image = normal(0, 5, 5, 2)  # square, so that a turned image fills the output
    grid = affine_grid(jnp.asarray([matrix]), input_hw=(5, 5), output_hw=(5, 5))
    sampled = bilinear_sample(jnp.asarray(image[None]), grid)
    # Positions on the rim may lie a rounding error outside; what they read changes as little.
    np.testing.assert_allclose(sampled[0], expected(image), rtol=0, atol=1e-12)


@both_conventions
def test_crop_theta_reads_the_window(x64, align_corners):
    image = normal(0, 2, 9, 12, 3)
    top_left = jnp.array([[2.0, 5.0], [4.0, 0.0]])
    theta = crop_theta(top_left, (5, 7), input_hw=(9, 12), align_corners=align_corners)
    assert theta.shape == (2, 2, 3)
    grid = affine_grid(theta, input_hw=(9, 12), output_hw=(5, 7), align_corners=align_corners)
    crops = bilinear_sample(jnp.asarray(image), grid)
    expected = np.stack([image[0, 2:7, 5:12], image[1, 4:9, 0:7]])
    np.testing.assert_allclose(crops, expected, rtol=0, atol=1e-12)


@both_conventions
@pytest.mark.parametrize("size", [(3, 4), (1, 5), (6, 1)])
def test_crop_theta_of_fractional_windows_partly_outside(x64, size, align_corners):
    top_left = np.array([[1.5, -2.25], [-3.75, 10.125], [7.0, 0.5]])
    theta = crop_theta(jnp.asarray(top_left), size, input_hw=(9, 12), align_corners=align_corners)
    grid = affine_grid(theta, input_hw=(9, 12), output_hw=size, align_corners=align_corners)
    expected = top_left[:, None, None] + np.moveaxis(np.indices(size), 0, -1)
    np.testing.assert_allclose(grid, expected, rtol=0, atol=1e-12)


def test_crop_theta_of_fractional_size_spreads_the_samples_evenly(x64):
    theta = crop_theta(jnp.array([[1.0, 2.0]]), (4.5, 3.0), input_hw=(9, 12))
    grid = affine_grid(theta, input_hw=(9, 12), output_hw=(3, 2))[0]
    np.testing.assert_allclose(grid[:, 0, 0], 1 - 0.5 + 1.5 * (np.arange(3) + 0.5), rtol=0, atol=1e-12)
    np.testing.assert_allclose(grid[0, :, 1], 2 - 0.5 + 1.5 * (np.arange(2) + 0.5), rtol=0, atol=1e-12)


@both_conventions
def test_gradients(x64, align_corners):
    def grid(theta):
        return affine_grid(theta, input_hw=(5, 7), output_hw=(3, 4), align_corners=align_corners)

    def theta(top_left):
        return crop_theta(top_left, (3, 4), input_hw=(5, 7), align_corners=align_corners)

    # jitted, because check_grads also calls with NumPy arrays
    check_grads(jax.jit(grid), (jnp.asarray(normal(0, 2, 2, 3)),), order=1)
    check_grads(jax.jit(theta), (jnp.asarray(normal(1, 2, 2)),), order=1)


def test_transformations(x64):
    thetas = jnp.asarray(normal(0, 4, 3, 2, 3))

    def grid(theta):
        return affine_grid(theta, input_hw=(5, 7), output_hw=(3, 4))

    looped = jnp.stack([grid(theta) for theta in thetas])
    np.testing.assert_allclose(jax.vmap(grid)(thetas), looped, rtol=0, atol=1e-13)
    np.testing.assert_allclose(jax.jit(grid)(thetas[0]), looped[0], rtol=0, atol=1e-13)


def test_empty_batch():
    theta = crop_theta(jnp.zeros((0, 2)), (3, 4), input_hw=(5, 7))
    assert theta.shape == (0, 2, 3)
    assert affine_grid(theta, input_hw=(5, 7), output_hw=(3, 4)).shape == (0, 3, 4, 2)
