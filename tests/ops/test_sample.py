"""bilinear_sample and offset_resample: values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from inputs import normal, off_kinks, positions
from jax.test_util import check_grads

import geoattn_jax
from geoattn_jax import bilinear_sample, offset_resample
from geoattn_jax.ops import reference

pytestmark = pytest.mark.usefixtures("x64")
both_modes = pytest.mark.parametrize("padding_mode", ["zeros", "border"])
both_implementations = pytest.mark.parametrize(
    "ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"]
)
sizes = pytest.mark.parametrize("hw", [(5, 7), (1, 6), (4, 1), (1, 1)], ids=str)
STEP = 0.25  # exact in binary, and a quarter pixel to the right of an integer the function is a line


def whole_positions(hw: tuple[int, int], batch: int) -> np.ndarray:
    """Every integer position from three pixels before the image to three behind: (batch, h + 6, w + 6, 2)."""
    grid = np.moveaxis(np.indices((hw[0] + 6, hw[1] + 6)), 0, -1) - 3.0
    return np.stack([grid] * batch)


@both_implementations
@both_modes
@sizes
def test_bilinear_sample_equals_the_loops(ops, hw, padding_mode):
    image = normal(0, 2, *hw, 3)
    coords = positions(1, 2, 5, 4, hw=hw)
    coords = np.concatenate([coords.reshape(2, -1, 2), whole_positions(hw, 2).reshape(2, -1, 2)], axis=1)
    sample = jax.jit(partial(ops.bilinear_sample, padding_mode=padding_mode))
    samples = sample(jnp.asarray(image), jnp.asarray(coords))
    expected = oracles.bilinear_sample(image, coords, padding_mode=padding_mode)
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1e-12)


@both_implementations
@sizes
def test_offset_resample_equals_the_loops(ops, hw):
    image = normal(0, 2, *hw, 3)
    offsets = off_kinks(1, *image.shape, 2, low=-4, high=4)
    resampled = jax.jit(ops.offset_resample)(jnp.asarray(image), jnp.asarray(offsets))
    expected = oracles.offset_resample(image, offsets)
    np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0,), (2, 0)], ids=str)
def test_the_result_has_the_coordinates_shape(shape):
    samples = bilinear_sample(jnp.ones((2, 5, 7, 3)), jnp.ones((2, *shape, 2)))
    np.testing.assert_array_equal(samples, np.ones((2, *shape, 3)))


def test_zeros_by_default():
    assert bilinear_sample(jnp.ones((1, 5, 7, 1)), jnp.array([[-0.75, 3.0]])).item() == 0.25


@both_modes
def test_bilinear_sample_gradients(padding_mode):
    """First and second order."""
    image, coords = normal(0, 2, 4, 5, 3), positions(1, 2, 3, 2, hw=(4, 5))
    function = jax.jit(partial(bilinear_sample, padding_mode=padding_mode))
    check_grads(function, (jnp.asarray(image), jnp.asarray(coords)), order=2, modes=["rev"])


def test_offset_resample_gradients():
    """First and second order."""
    image, offsets = normal(0, 2, 3, 4, 2), off_kinks(1, 2, 3, 4, 2, 2, low=-2, high=2)
    check_grads(jax.jit(offset_resample), (jnp.asarray(image), jnp.asarray(offsets)), order=2, modes=["rev"])


@both_implementations
@both_modes
@sizes
def test_at_integers_the_derivative_is_the_right_hand_one(ops, hw, padding_mode):
    image, coords = jnp.asarray(normal(0, 2, *hw, 3)), jnp.asarray(whole_positions(hw, 2))
    sample = jax.jit(partial(ops.bilinear_sample, image, padding_mode=padding_mode))
    samples, vjp = jax.vjp(sample, coords)
    cotangent = jnp.asarray(normal(1, *samples.shape))
    (gradient,) = vjp(cotangent)
    for axis in (0, 1):
        difference = (sample(coords.at[..., axis].add(STEP)) - samples) / STEP
        expected = jnp.sum(difference * cotangent, axis=-1)
        np.testing.assert_allclose(gradient[..., axis], expected, rtol=0, atol=1e-12)


def test_a_still_border_sampler_moves_off_the_first_pixel_but_not_off_the_last():
    image = jnp.asarray(normal(0, 1, 5, 7, 1))

    def derivative(position):
        coords = jnp.array([position])
        gradient = jax.grad(lambda coords: bilinear_sample(image, coords, padding_mode="border").sum())
        return gradient(coords)[0]

    first = image[0, 1, 0, 0] - image[0, 0, 0, 0], image[0, 0, 1, 0] - image[0, 0, 0, 0]
    np.testing.assert_allclose(derivative([0.0, 0.0]), first, rtol=0, atol=1e-12)
    assert np.all(np.abs(first) > 0.01)
    np.testing.assert_array_equal(derivative([4.0, 6.0]), [0.0, 0.0])


def test_an_identity_transformer_can_learn():
    """At theta's identity all positions are integers; the gradient must point somewhere, and rightly."""
    image, target = jnp.asarray(normal(0, 2, 6, 8, 3)), jnp.asarray(normal(1, 2, 6, 8, 3))

    @jax.jit
    def loss(theta):
        grid = geoattn_jax.affine_grid(theta, input_hw=(6, 8), output_hw=(6, 8))
        return jnp.sum(bilinear_sample(image, grid, padding_mode="border") * target)

    identity = jnp.broadcast_to(jnp.array([[1.0, 0, 0], [0, 1, 0]]), (2, 2, 3))
    gradient = jax.grad(loss)(identity)
    step = 1e-6
    for index in [(0, 0, 2), (1, 1, 2)]:  # the shifts move every position to the right, or every one down
        expected = (loss(identity.at[index].add(step)) - loss(identity)) / step
        np.testing.assert_allclose(gradient[index], expected, rtol=1e-6)
        assert abs(gradient[index]) > 0.1


def test_offset_resample_at_zero_offsets_has_the_right_hand_derivative():
    image, offsets = jnp.asarray(normal(0, 2, 4, 6, 3)), jnp.zeros((2, 4, 6, 3, 2))
    resampled, vjp = jax.vjp(lambda offsets: offset_resample(image, offsets), offsets)
    np.testing.assert_array_equal(resampled, image)
    cotangent = jnp.asarray(normal(1, *image.shape))
    (gradient,) = vjp(cotangent)
    for axis in (0, 1):
        difference = (offset_resample(image, offsets.at[..., axis].add(STEP)) - image) / STEP
        np.testing.assert_allclose(gradient[..., axis], difference * cotangent, rtol=0, atol=1e-12)
    assert np.count_nonzero(gradient[..., 0]) == 2 * 3 * 6 * 3  # all rows but the last
    assert np.count_nonzero(gradient[..., 1]) == 2 * 4 * 5 * 3  # all columns but the last


@pytest.mark.parametrize("shift", [(0, 0), (2, -3), (-1, 2), (4, 6), (5, 0), (0, -7)], ids=str)
def test_integer_translations_are_slices(shift):
    image = normal(0, 2, 5, 7, 3)
    coords = np.moveaxis(np.indices((5, 7)), 0, -1) + np.array(shift, float)
    padded = np.pad(image, ((0, 0), (7, 7), (7, 7), (0, 0)))
    rows, columns = slice(7 + shift[0], 12 + shift[0]), slice(7 + shift[1], 14 + shift[1])
    samples = bilinear_sample(jnp.asarray(image), jnp.asarray(np.stack([coords] * 2)))
    np.testing.assert_array_equal(samples, padded[:, rows, columns])

    edge = np.pad(image, ((0, 0), (7, 7), (7, 7), (0, 0)), mode="edge")[:, rows, columns]
    offsets = np.broadcast_to(np.array(shift, float), (*image.shape, 2))
    np.testing.assert_array_equal(offset_resample(jnp.asarray(image), jnp.asarray(offsets)), edge)


@both_modes
def test_linear_in_the_image(padding_mode):
    first, second = jnp.asarray(normal(0, 2, 5, 7, 3)), jnp.asarray(normal(1, 2, 5, 7, 3))
    sample = partial(
        bilinear_sample, coords=jnp.asarray(positions(2, 2, 4, 6, hw=(5, 7))), padding_mode=padding_mode
    )
    combined = 2.5 * sample(first) - 1.5 * sample(second)
    np.testing.assert_allclose(sample(2.5 * first - 1.5 * second), combined, rtol=0, atol=1e-12)


def test_a_constant_image_reads_constant():
    image = jnp.full((2, 5, 7, 3), 0.7)
    inside = jnp.asarray(np.random.default_rng(0).uniform(0, [4, 6], size=(2, 50, 2)))
    np.testing.assert_allclose(bilinear_sample(image, inside), 0.7, rtol=0, atol=1e-14)
    anywhere = jnp.asarray(positions(1, 2, 50, hw=(5, 7), margin=5))
    everywhere = bilinear_sample(image, anywhere, padding_mode="border")
    np.testing.assert_allclose(everywhere, 0.7, rtol=0, atol=1e-14)


def test_offset_resample_is_bilinear_sample_channel_by_channel():
    image = jnp.asarray(normal(0, 2, 4, 6, 3))
    offsets = jnp.asarray(off_kinks(1, 2, 4, 6, 3, 2, low=-3, high=3))
    pixels = jnp.moveaxis(jnp.indices((4, 6), dtype=offsets.dtype), 0, -1)
    for channel in range(3):
        expected = bilinear_sample(
            image[..., channel, None], pixels + offsets[:, :, :, channel], padding_mode="border"
        )
        resampled = offset_resample(image, offsets)[..., channel, None]
        np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-12)
