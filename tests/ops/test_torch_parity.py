"""affine_grid, bilinear_sample and grid_sample against torch's functions, values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import normal

from geoattn_jax import affine_grid, bilinear_sample, grid_sample

torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")
pytestmark = pytest.mark.no_cover  # the operations' own tests measure these lines

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


# grid_sample ------------------------------------------------------------

EVERY_GRID_SAMPLE = [
    pytest.param(sizes, method, padding, align, id=f"{len(sizes)}d-{method}-{padding}-{align_name}")
    for sizes in ((3, 5), (2, 4, 3))
    for method in ("nearest", "bilinear", "bicubic")
    if (len(sizes), method) != (3, "bicubic")  # torch has none of volumes
    for padding in ("zeros", "border", "reflection")
    for align, align_name in ((False, "edges"), (True, "centres"))
]
every_grid_sample = pytest.mark.parametrize(
    ("sizes", "method", "padding", "align_corners"), EVERY_GRID_SAMPLE
)


def to_normalized(coords: np.ndarray, sizes: tuple[int, ...], align_corners: bool) -> np.ndarray:
    """A grid in torch's order and scale, of positions in pixels."""
    size = np.array(sizes)
    grid = 2 * coords / (size - 1) - 1 if align_corners else (2 * coords + 1) / size - 1
    return grid[..., ::-1].copy()


def torchs_grid_sample(image, grid, cotangent, method, padding, align_corners):
    """Values and gradients, with channels last."""
    image, cotangent = (np.moveaxis(array, -1, 1).copy() for array in (image, cotangent))
    leaves = torch.tensor(image, requires_grad=True), torch.tensor(grid, requires_grad=True)
    samples = torch.nn.functional.grid_sample(
        *leaves, mode=method, padding_mode=padding, align_corners=align_corners
    )
    to_image, to_grid = torch.autograd.grad(samples, leaves, torch.tensor(cotangent))
    return (
        np.moveaxis(samples.detach().numpy(), 1, -1),
        np.moveaxis(to_image.numpy(), 1, -1),
        to_grid.numpy(),
    )


@partial(jax.jit, static_argnums=(3, 4, 5))
def geoattns_grid_sample(image, grid, cotangent, method, padding, align_corners):
    def read(image, grid):
        return grid_sample(image, grid, method=method, padding_mode=padding, align_corners=align_corners)

    samples, vjp = jax.vjp(read, image, grid)
    return samples, *vjp(cotangent)


def off_all_kinks(sizes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Positions up to two images away, none within a tenth of a whole or half one, where mirrors are, too."""
    rng = np.random.default_rng(2)
    whole = np.stack([rng.integers(-2 * size, 3 * size, size=shape) for size in sizes], axis=-1)
    return whole + rng.integers(0, 2, size=whole.shape) / 2 + rng.uniform(0.1, 0.4, size=whole.shape)


@pytest.mark.usefixtures("compiled_quickly")
@every_grid_sample
def test_grid_sample_off_the_kinks(x64, sizes, method, padding, align_corners):
    """Values and both gradients in float64 and, of 1 at most, to 1e-4 of the largest in float32."""
    image, coords = normal(0, 2, *sizes, 3), off_all_kinks(sizes, (2, *range(3, 3 + len(sizes))))
    grid, cotangent = to_normalized(coords, sizes, align_corners), normal(1, *coords.shape[:-1], 3)
    options = method, padding, align_corners
    torchs = torchs_grid_sample(image, grid, cotangent, *options)
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):
        ours = geoattns_grid_sample(*(array.astype(dtype) for array in (image, grid, cotangent)), *options)
        for name, mine, other in zip(("samples", "to image", "to grid"), ours, torchs, strict=True):
            assert mine.dtype == dtype
            atol = tolerance * max(1, np.abs(other).max()) if dtype == np.float32 else tolerance
            np.testing.assert_allclose(mine, other, rtol=0, atol=atol, err_msg=name)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_grid_sample_at_ties(x64, method):
    """At whole and half positions values are torch's, and so are gradients but at the first pixel of an axis.

    There torch's clip stops the gradient, here it is the right-hand one.
    """
    sizes = 4, 8  # powers of two: normalized positions are exact
    image = normal(0, 1, *sizes, 2)
    y, x = np.meshgrid(np.arange(-5, 9, 0.5), np.arange(-10, 18, 0.5), indexing="ij")
    coords = np.stack([y, x], axis=-1)[None]
    grid, cotangent = to_normalized(coords, sizes, align_corners=False), normal(1, *coords.shape[:-1], 2)
    for padding in ("zeros", "border", "reflection"):
        ours, torchs = (
            function(image, grid, cotangent, method, padding, False)
            for function in (geoattns_grid_sample, torchs_grid_sample)
        )
        np.testing.assert_allclose(ours[0], torchs[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours[1], torchs[1], rtol=0, atol=1e-12)
        first = np.zeros(grid.shape, bool)
        if method == "bilinear" and padding != "zeros":
            place = np.vectorize(oracles.padded, otypes=[float])(coords, np.array(sizes), padding, "edge")
            first = (place == 0)[..., ::-1]
            assert np.any(np.asarray(ours[2])[first])
            np.testing.assert_array_equal(torchs[2][first], 0)
        np.testing.assert_allclose(np.asarray(ours[2])[~first], torchs[2][~first], rtol=0, atol=1e-9)
