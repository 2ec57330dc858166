"""affine_grid and bilinear_sample against torch's affine_grid and grid_sample, values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import normal

from geoattn_jax import affine_grid, bilinear_sample

torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")

sizes = st.integers(1, 6)
NEAR = 1e-6  # this close to an integer, where derivatives jump, rounding decides which side is taken


def sampled_by_torch(image, theta, cotangent, output_hw, align_corners, padding_mode):
    image, theta, cotangent = (torch.tensor(array) for array in (image, theta, cotangent))
    leaves = image.permute(0, 3, 1, 2).requires_grad_(), theta.requires_grad_()
    grid = torch.nn.functional.affine_grid(
        theta, (*leaves[0].shape[:2], *output_hw), align_corners=align_corners
    )
    samples = torch.nn.functional.grid_sample(
        leaves[0], grid, mode="bilinear", padding_mode=padding_mode, align_corners=align_corners
    )
    samples = samples.permute(0, 2, 3, 1)
    grad_image, grad_theta = torch.autograd.grad(samples, leaves, cotangent)
    return samples.detach().numpy(), grad_image.permute(0, 2, 3, 1).numpy(), grad_theta.numpy()


@partial(jax.jit, static_argnames=("output_hw", "align_corners", "padding_mode"))
def sampled_by_geoattn(image, theta, cotangent, output_hw, align_corners, padding_mode):
    """Samples and gradients; and the cotangent, set to zero near the kinks, that the gradients are for."""

    def sample(image, theta):
        grid = affine_grid(theta, input_hw=image.shape[1:3], output_hw=output_hw, align_corners=align_corners)
        return bilinear_sample(image, grid, padding_mode=padding_mode), grid

    samples, vjp, grid = jax.vjp(sample, image, theta, has_aux=True)
    smooth = jnp.all(jnp.abs(grid - jnp.round(grid)) > NEAR, axis=-1, keepdims=True)
    cotangent = jnp.where(smooth, cotangent, 0.0)
    return (samples, *vjp(cotangent)), cotangent


@pytest.mark.filterwarnings(
    "ignore:Since version 1.3.0, affine_grid behavior has changed for unit-size grids"
)
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    padding_mode=st.sampled_from(["zeros", "border"]),
    align_corners=st.booleans(),
    batch=st.integers(1, 3),
    input_hw=st.tuples(sizes, sizes),
    output_hw=st.tuples(sizes, sizes),
    channels=st.integers(1, 3),
    spread=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_grid_sample(x64, padding_mode, align_corners, batch, input_hw, output_hw, channels, spread, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch, *input_hw, channels))
    theta = np.eye(2, 3) + spread * rng.normal(size=(batch, 2, 3))
    cotangent = rng.normal(size=(batch, *output_hw, channels))
    options = output_hw, align_corners, padding_mode
    ours, cotangent = sampled_by_geoattn(*map(jnp.asarray, (image, theta, cotangent)), *options)
    torchs = sampled_by_torch(image, theta, np.array(cotangent), *options)
    for mine, other in zip(ours, torchs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9)


def test_at_integers_torch_takes_the_right_hand_derivative_too(x64):
    """Zeros mode. (In border mode torch stops the gradient at the very first pixel; not so here.)"""
    height, width = 4, 8  # powers of two: normalized positions are exact
    image = normal(0, 1, height, width, 3)
    coords = np.moveaxis(np.indices((height + 4, width + 4)), 0, -1)[None] - 2.0
    cotangent = normal(1, *coords.shape[:-1], 3)

    to_normalized = (2 * coords + 1) / (height, width) - 1
    grid = torch.tensor(to_normalized[..., ::-1].copy(), requires_grad=True)
    samples = torch.nn.functional.grid_sample(
        torch.tensor(image).permute(0, 3, 1, 2), grid, padding_mode="zeros", align_corners=False
    ).permute(0, 2, 3, 1)
    (grad_grid,) = torch.autograd.grad(samples, grid, torch.tensor(cotangent))
    expected = grad_grid.numpy()[..., ::-1] * 2 / (height, width)

    ours, vjp = jax.vjp(lambda coords: bilinear_sample(jnp.asarray(image), coords), jnp.asarray(coords))
    np.testing.assert_allclose(ours, samples.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(vjp(jnp.asarray(cotangent))[0], expected, rtol=0, atol=1e-12)
