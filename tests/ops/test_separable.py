"""Images read on grids along their axes: equal to reading every pair, on a CPU and by rows as on a TPU."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import normal

from geoattn_jax import affine_grid, bilinear_sample
from geoattn_jax.ops import platforms, reference
from geoattn_jax.ops.crop import sample_crop
from geoattn_jax.ops.grid import axis_aligned_grid
from geoattn_jax.ops.separable import separable_sample

EVERY_PLATFORM = True

IMAGE_HW, CROP_HW = (9, 11), (6, 7)
TOP_LEFT = jnp.array([[0, 0], [3, 4]])  # the image's first and last windows
pytestmark = pytest.mark.usefixtures("compiled_quickly")
both_modes = pytest.mark.parametrize("padding_mode", ["zeros", "border"])


@pytest.fixture
def by_rows(monkeypatch):
    """A TPU's by_rows, run here in the place of the CPU's."""
    monkeypatch.setattr(platforms, "CPU", platforms.TPU)


def along(size: int) -> np.ndarray:
    """For two images, coordinates on, between and beside all pixels, and far from them."""
    inside = np.append(np.arange(-3, size + 3, 0.5), [-1e9, 1e9])
    return np.stack([inside, inside[::-1] + 0.25])


def pairs(rows, columns):
    return jnp.stack(jnp.broadcast_arrays(rows[:, :, None], columns[:, None]), axis=-1)


def of_pairs(image, rows, columns, *, sample=bilinear_sample, padding_mode="zeros"):
    return sample(image, pairs(rows, columns), padding_mode=padding_mode)


def check_equal(function, expected, arguments):
    """In values, and in gradients where those expected are finite."""
    image, rows, columns = arguments = tuple(map(jnp.asarray, arguments))
    cotangent = normal(9, *rows.shape, columns.shape[1], image.shape[-1])

    def both(function):
        samples, vjp = jax.vjp(function, *arguments)
        return samples, *vjp(cotangent)

    (samples, *gradients), (expected, *others) = (
        jax.jit(partial(both, way))() for way in (function, expected)
    )
    np.testing.assert_allclose(samples, expected, rtol=1e-9, atol=1e-9)
    for ours, other in zip(gradients, others, strict=True):
        assert ours.dtype == other.dtype
        np.testing.assert_allclose(np.where(np.isfinite(other), ours, other), other, rtol=1e-9, atol=1e-9)


def test_equals_reading_every_pair_on_a_cpu(x64):
    check_equal(separable_sample, of_pairs, (normal(0, 2, *IMAGE_HW, 2), *map(along, IMAGE_HW)))


@both_modes
@pytest.mark.parametrize("hw", [IMAGE_HW, (1, 4), (3, 1), (1, 1)])
def test_equals_reading_every_pair(x64, by_rows, padding_mode, hw):
    arguments = normal(0, 2, *hw, 2), *map(along, hw)
    how = {"padding_mode": padding_mode}
    check_equal(partial(separable_sample, **how), partial(of_pairs, **how), arguments)


def test_a_window_equals_its_pairs(x64, by_rows):
    arguments = normal(0, 2, *IMAGE_HW, 2), *map(along, CROP_HW)
    check_equal(
        lambda image, *axes: separable_sample(image, *axes, top_left=TOP_LEFT, crop_hw=CROP_HW),
        lambda image, *axes: sample_crop(image, TOP_LEFT, pairs(*axes), crop_hw=CROP_HW),
        arguments,
    )


def test_second_derivatives(x64, monkeypatch):
    """At kinks, too."""
    arguments = tuple(map(jnp.asarray, (normal(0, 2, *IMAGE_HW, 2), *map(along, IMAGE_HW))))

    def second(function):
        def loss(arguments):
            return jnp.sum(function(*arguments) ** 2)

        def along_a_direction(arguments):
            return sum(map(jnp.sum, jax.grad(loss)(arguments)))

        return jax.jit(jax.grad(along_a_direction))(arguments)

    expected = second(partial(of_pairs, sample=reference.bilinear_sample))
    monkeypatch.setattr(platforms, "CPU", platforms.TPU)
    for ours, other in zip(second(separable_sample), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


@both_modes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_pixels_and_coordinates_spoil_what_is_read_from_them_alone(x64, by_rows, padding_mode, bad):
    image, rows, columns = normal(0, 2, *IMAGE_HW, 2), *map(along, IMAGE_HW)
    image[0, 2, 3, 0] = image[1, 0, 0, 1] = rows[0, 5] = columns[1, 7] = bad
    how = {"padding_mode": padding_mode}
    check_equal(partial(separable_sample, **how), partial(of_pairs, **how), (image, rows, columns))


def test_bfloat16_pixels_are_added_up_in_float32(by_rows):
    """The sum of many small gradients, which bfloat16 would lose beside the first ones."""
    image = jnp.ones((2, 5, 7, 2), jnp.bfloat16)
    rows, columns = jnp.full((2, 30), 2.0), jnp.full((2, 30), 3.0)
    samples, vjp = jax.vjp(separable_sample, image, rows, columns)
    assert samples.dtype == jnp.bfloat16
    to_image, to_rows, _ = vjp(jnp.ones_like(samples))
    assert (to_image.dtype, to_rows.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_array_equal(to_image[:, 2, 3], jnp.full((2, 2), 900, jnp.bfloat16))


def test_under_vmap(x64, by_rows):
    image, rows, columns = map(jnp.asarray, (normal(0, 3, 2, *IMAGE_HW, 2), *map(along, IMAGE_HW)))
    mapped = jax.vmap(separable_sample, in_axes=(0, None, None))(image, rows, columns)
    for ours, one in zip(mapped, image, strict=True):
        np.testing.assert_allclose(ours, of_pairs(one, rows, columns), rtol=0, atol=1e-9)


def test_a_tpu_takes_rows_where_these_are_fewer_indices(by_rows):
    def read(rows, columns):
        program = jax.jit(separable_sample).lower(jnp.ones((2, *IMAGE_HW, 3)), rows, columns)
        return "slice_sizes = array<i64: 1, 1, 11>" in program.as_text()

    assert read(jnp.ones((2, 24)), jnp.ones((2, 25)))
    assert not read(jnp.ones((2, 2)), jnp.ones((2, 25)))


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_grid_along_the_axes_is_that_of_an_affine_theta(align_corners):
    theta = jnp.asarray(normal(0, 3, 2, 3), jnp.float32).at[:, [0, 1], [1, 0]].set(0)
    how = {"input_hw": IMAGE_HW, "output_hw": CROP_HW, "align_corners": align_corners}
    np.testing.assert_array_equal(pairs(*axis_aligned_grid(theta, **how)), affine_grid(theta, **how))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": jnp.ones((*IMAGE_HW, 3))}, "image must have axes"),
        ({"rows": jnp.ones((3, 4))}, r"rows must have shape \(2, 4\)"),
        ({"columns": jnp.ones(5)}, "columns must have axes"),
        ({"columns": jnp.ones((2, 5), jnp.int32)}, "columns must be"),
        ({"top_left": jnp.zeros((3, 2), jnp.int32)}, r"top_left must have shape \(2, 2\)"),
        ({"top_left": jnp.zeros((2, 2))}, "top_left must hold whole numbers"),
        ({"crop_hw": (10, 7)}, "crop_hw must fit into the image"),
    ],
)
def test_wrong_arguments_are_named(changed, said):
    arguments = {"image": jnp.ones((2, *IMAGE_HW, 3)), "rows": jnp.ones((2, 4)), "columns": jnp.ones((2, 5))}
    window = {"top_left": TOP_LEFT, "crop_hw": CROP_HW}
    with pytest.raises(ValueError, match=rf"^separable_sample: {said}"):
        separable_sample(**(arguments | window | changed))


@pytest.mark.parametrize("order", ["pairs", "rows"])
def test_forward_mode(x64, order, request):
    if order == "rows":
        request.getfixturevalue("by_rows")
    arguments = tuple(map(jnp.asarray, (normal(0, 2, *IMAGE_HW, 3), normal(1, 2, 20), normal(2, 2, 30))))
    reference_at = partial(of_pairs, sample=reference.bilinear_sample)
    for computed, expected in zip(
        jax.jvp(jax.jit(separable_sample), arguments, arguments),
        jax.jvp(reference_at, arguments, arguments),
        strict=True,
    ):
        np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-12)
