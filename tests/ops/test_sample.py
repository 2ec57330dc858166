"""sample, bilinear_sample, grid_sample and offset_resample: values and gradients."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from inputs import normal, off_kinks, positions
from jax.test_util import check_grads

import geoattn_jax
from geoattn_jax import bilinear_sample, grid_sample, offset_resample, sample
from geoattn_jax.ops import reference

pytestmark = pytest.mark.usefixtures("x64")
both_modes = pytest.mark.parametrize("padding_mode", ["zeros", "border"])
both_implementations = pytest.mark.parametrize(
    "ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"]
)
sizes = pytest.mark.parametrize("hw", [(5, 7), (1, 6), (4, 1), (1, 1)], ids=str)
METHODS = ("nearest", "bilinear", "bicubic")
PADDINGS = {
    "zeros": {"padding_mode": "zeros"},
    "border": {"padding_mode": "border"},
    "mirrors at edges": {"padding_mode": "reflection", "reflect_at": "edge"},
    "mirrors at centres": {"padding_mode": "reflection", "reflect_at": "centre"},
}
every_method = pytest.mark.parametrize("method", METHODS)
every_padding = pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS.keys())
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


# sample: other methods, other paddings, volumes ------------------------------------------------------------


def special_positions(sizes: tuple[int, ...]) -> np.ndarray:
    """Whole, half and other positions inside and up to three images away, and far ones: (n, d)."""
    rng = np.random.default_rng(0)
    axes = []
    for size in sizes:
        halves = np.arange(-3 * size - 3, 4 * size + 3, 0.5)
        far = [1e6, -1e6, 1e6 + 0.5, -1e6 - 0.25]
        axes.append(np.concatenate([halves, halves + rng.uniform(0.1, 0.4, len(halves)), far]))
    count = 2 * max(len(axis) for axis in axes)
    return np.stack([rng.permutation(np.resize(axis, count)) for axis in axes], axis=-1)


@pytest.mark.usefixtures("compiled_quickly")
@every_padding
@every_method
@pytest.mark.parametrize("volumes", [False, True], ids=["images", "volumes"])
def test_sample_equals_the_loops(volumes, method, padding):
    both = [jax.jit(partial(ops.sample, method=method, **padding)) for ops in (geoattn_jax, reference)]
    for sizes in [(2, 1, 3)] if volumes else [(3, 5), (1, 4), (1, 1)]:
        image, coords = normal(0, 1, *sizes, 2), special_positions(sizes)[None]
        expected = oracles.sample(image, coords, method=method, **padding)
        assert np.isfinite(expected).all()
        for compiled in both:
            samples = compiled(jnp.asarray(image), jnp.asarray(coords))
            np.testing.assert_allclose(samples, expected, rtol=0, atol=1e-12)


@every_padding
@every_method
def test_far_and_nan_positions(method, padding):
    """Infinitely far away there are no mirror images; NaN is nowhere. Neither spoils others' gradients."""
    image = jnp.asarray(normal(0, 1, 3, 4, 1))
    values = np.array([np.inf, -np.inf, np.nan, 1e20, -1e20])
    odd = [position for value in values for position in ([value, 1.3], [0.7, value], [value, value])]
    coords = jnp.asarray(np.array([[*odd, *([0.6, 2.2] for _ in odd)]]))

    @jax.jit
    def gradients(image, coords):
        samples, vjp = jax.vjp(partial(sample, method=method, **padding), image, coords)
        return samples, *vjp(jnp.ones_like(samples))

    samples, to_image, to_coords = gradients(image, coords)
    expected = oracles.sample(np.asarray(image), np.asarray(coords), method=method, **padding)
    known = np.ones(coords.shape[1], bool)
    if padding["padding_mode"] == "reflection":
        # Rounding decides which mirror image is that far away.
        known = ~(np.isfinite(coords[0]) & (np.abs(coords[0]) > 1e9)).any(axis=-1)
        assert (np.abs(samples[0, ~known]) <= 1.375**2 * np.abs(image).max()).all()
    np.testing.assert_allclose(samples[:, known], expected[:, known], rtol=0, atol=1e-12)
    nowhere = np.isnan(expected).any(axis=-1)
    assert nowhere.any()
    np.testing.assert_array_equal(to_coords[nowhere], 0)
    far = ~(np.abs(coords[:, known]) < 10)
    # Bicubic slopes of equal pixels add up to zero but for rounding.
    np.testing.assert_allclose(to_coords[:, known][far], 0, rtol=0, atol=1e-15)

    _, _, in_place = gradients(image, jnp.full_like(coords, jnp.array([0.6, 2.2])))
    np.testing.assert_array_equal(to_coords[:, len(odd) :], in_place[:, len(odd) :])
    read_alone, weights = gradients(image, jnp.where(nowhere[..., None], 50.0, coords))[:2]
    assert np.isfinite(read_alone).all()
    if padding["padding_mode"] == "zeros":
        np.testing.assert_allclose(to_image, weights, rtol=0, atol=1e-12)
    assert np.isfinite(to_image).all()


@every_padding
@every_method
def test_nan_pixels_count_only_where_they_are_read(method, padding):
    """One pixel of each image is bad: as in the loops, on and between all pixels."""
    bad = [(0, 0), (2, 3), (4, 5), (4, 0)]
    image = normal(0, len(bad), 5, 6, 1)
    image[np.arange(len(bad)), *np.transpose(bad)] = np.nan
    coords = np.stack(
        [np.array(list(itertools.product(np.arange(-2, 7, 0.5), np.arange(-2, 8, 0.5))))] * len(bad)
    )
    expected = oracles.sample(image, coords, method=method, **padding)
    assert np.isnan(expected).any(axis=(1, 2)).all()
    assert np.isfinite(expected).any(axis=(1, 2)).all()
    for ops in (geoattn_jax, reference):
        compiled = jax.jit(partial(ops.sample, method=method, **padding))
        np.testing.assert_allclose(compiled(image, coords), expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (2, 3, 1)], ids=str)
def test_samples_have_the_shape_of_their_coordinates(shape):
    for method, sizes in (("nearest", (3, 4)), ("bicubic", (3, 4)), ("bilinear", (2, 3, 4))):
        image, coords = jnp.ones((2, *sizes, 3)), jnp.ones((2, *shape, len(sizes)))
        samples = jax.jit(partial(sample, method=method, padding_mode="border"))(image, coords)
        np.testing.assert_allclose(samples, np.ones((2, *shape, 3)), rtol=0, atol=1e-14)


@every_method
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
def test_samples_in_low_precision(method, dtype):
    """Of positions of float32: the error is that of one rounding to the image's dtype, and of float32."""
    image = jnp.asarray(normal(0, 1, 4, 5, 2), dtype)
    coords = jnp.asarray(positions(1, 1, 30, hw=(4, 5)), jnp.float32)
    read = jax.jit(partial(sample, method=method, padding_mode="reflection"))
    samples, vjp = jax.vjp(read, image, coords)
    assert samples.dtype == dtype
    exact = oracles.sample(
        np.asarray(image, np.float64), np.asarray(coords), method=method, padding_mode="reflection"
    )
    bound = 2 * (float(jnp.finfo(dtype).eps) + 30 * float(jnp.finfo(jnp.float32).eps)) * np.abs(exact).max()
    np.testing.assert_allclose(np.asarray(samples, np.float64), exact, rtol=0, atol=bound)
    to_image, to_coords = vjp(jnp.ones_like(samples))
    assert (to_image.dtype, to_coords.dtype) == (dtype, jnp.float32)
    assert np.isfinite(np.asarray(to_image, np.float64)).all()
    assert np.isfinite(to_coords).all()


GRADIENTS = {
    "nearest, mirrors at centres": ("nearest", "mirrors at centres", (3, 4)),
    "bilinear, mirrors at edges": ("bilinear", "mirrors at edges", (3, 4)),
    "bicubic, mirrors at edges": ("bicubic", "mirrors at edges", (3, 4)),
    "trilinear, mirrors at edges": ("bilinear", "mirrors at edges", (2, 3, 4)),
}


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize(("method", "padding", "sizes"), GRADIENTS.values(), ids=GRADIENTS.keys())
def test_sample_gradients(method, padding, sizes):
    """First and second order, in both modes; a third of a pixel off whole and half positions."""
    rng = np.random.default_rng(1)
    corners = np.stack([rng.integers(-2 * size, 2 * size, size=(1, 5)) for size in sizes], axis=-1)
    coords = corners + rng.choice([0.2, 0.3, 0.7, 0.8], size=corners.shape)
    function = jax.jit(partial(sample, method=method, **PADDINGS[padding]))
    arguments = jnp.asarray(normal(0, 1, *sizes, 2)), jnp.asarray(coords)
    check_grads(function, arguments, order=2, modes=["fwd", "rev"])


def test_a_nearest_pixel_has_no_slope():
    coords = jnp.asarray(positions(0, 1, 20, hw=(4, 5)))
    image = jnp.asarray(normal(1, 1, 4, 5, 2))
    gradient = jax.grad(lambda coords: sample(image, coords, method="nearest").sum())(coords)
    np.testing.assert_array_equal(gradient, 0)


@every_padding
def test_at_whole_and_half_positions_the_derivative_is_the_right_hand_one(padding):
    """In a mirror image that at the mirrored coordinate, the other way around in every second of them."""
    image = jnp.asarray(normal(0, 1, 1, 4, 1))
    x = np.arange(-6, 10, 0.5)
    mirrored, way, mode = x, np.ones_like(x), padding["padding_mode"]
    if mode == "reflection":
        first, span = (-0.5, 4) if padding["reflect_at"] == "edge" else (0, 3)
        turns, rest = np.divmod(x - first, span)
        way = np.where(turns % 2 == 0, 1.0, -1.0)
        mirrored, mode = first + np.where(way > 0, rest, span - rest), "border"

    def positions_of(x):
        return jnp.asarray(np.stack([np.zeros_like(x), x], axis=-1)[None])

    border_or_zeros = partial(sample, image, padding_mode=mode)
    difference = border_or_zeros(positions_of(mirrored + STEP)) - border_or_zeros(positions_of(mirrored))
    expected = way * difference[0, :, 0] / STEP
    for ops in (geoattn_jax, reference):
        read = jax.jit(partial(ops.sample, image, **padding))
        samples, vjp = jax.vjp(read, positions_of(x))
        (gradient,) = vjp(jnp.ones_like(samples))
        np.testing.assert_allclose(gradient[0, :, 1], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("sizes", [(3, 5), (2, 3, 5)], ids=str)
def test_a_grid_goes_from_edge_to_edge_or_from_centre_to_centre(sizes, align_corners):
    image, coords = normal(0, 2, *sizes, 2), positions(1, 2, 3, 4, hw=sizes)
    size = np.array(sizes)
    normalized = 2 * coords / (size - 1) - 1 if align_corners else (2 * coords + 1) / size - 1
    options = {"method": "nearest", "padding_mode": "reflection"}
    image, grid = jnp.asarray(image), jnp.asarray(normalized[..., ::-1])
    samples = grid_sample(image, grid, align_corners=align_corners, **options)
    expected = sample(image, jnp.asarray(coords), reflect_at="centre" if align_corners else "edge", **options)
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1e-12)
