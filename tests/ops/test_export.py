"""Exported with symbols for sizes, serialized and read back: the numbers of direct calls."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from exported import array, check_exported, in_and_around
from jax import export

import geoattn_jax
from geoattn_jax import affine_grid, bilinear_sample, crop_theta, deform_conv3d, grid_sample, sample
from geoattn_jax.ops import reference
from geoattn_jax.ops.crop import max_pool_crop, sample_crop
from geoattn_jax.ops.separable import separable_sample

EVERY_PLATFORM = True

# The operations' own tests measure these lines.
pytestmark = [pytest.mark.usefixtures("compiled_quickly"), pytest.mark.no_cover]

both_implementations = pytest.mark.parametrize(
    "ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"]
)
# Larger than a part of the work, which is divided by sizes that are numbers; and images of one row or column.
BATCHES = [(3,), (1,)]
SIZES = [(2, 5, 7), (1, 1, 4), (3, 4, 1), (2, 1, 1)]


@both_implementations
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
def test_bilinear_sample(ops, padding_mode):
    def arguments(b, h, w):
        return array(0, b, h, w, 3), array(1, b, 4, 2, 2, like=in_and_around(5))

    function = partial(ops.bilinear_sample, padding_mode=padding_mode)
    check_exported(function, arguments, SIZES, "b, h, w")
    check_exported(function, lambda b: arguments(b, 5, 7), BATCHES, "b")


@both_implementations
def test_bilinear_sample_of_known_axes_and_of_any_number_of_positions(ops):
    """Of an axis that surely has two pixels, two are written at a time; of others one after the other."""
    for symbols, arguments in {
        "b, n": lambda b, n: (array(0, b, 5, 7, 3), array(1, b, n, 2, like=in_and_around(5))),
        "h": lambda h: (array(0, 2, h + 1, 7, 3), array(1, 2, 6, 2, like=in_and_around(5))),
        "w": lambda w: (array(0, 2, 5, w + 1, 3), array(1, 2, 6, 2, like=in_and_around(5))),
    }.items():
        sizes = [(3, 4), (1, 9)] if "," in symbols else [(6,), (1,)]
        check_exported(ops.bilinear_sample, arguments, sizes, symbols)


@pytest.mark.parametrize(
    ("method", "padding_mode", "reflect_at"),
    [("nearest", "zeros", "edge"), ("bilinear", "reflection", "edge"), ("bicubic", "reflection", "centre")],
)
def test_sample(method, padding_mode, reflect_at):
    options = {"method": method, "padding_mode": padding_mode, "reflect_at": reflect_at}

    def arguments(b, h, w):
        return array(0, b, h, w, 3), array(1, b, 4, 2, 2, like=in_and_around(5))

    check_exported(partial(sample, **options), arguments, [(2, 5, 7), (1, 1, 4)], "b, h, w")


def test_sample_of_volumes():
    def arguments(b, d, h, w):
        return array(0, b, d, h, w, 3), array(1, b, 6, 3, like=in_and_around(5))

    function = partial(sample, padding_mode="border")
    check_exported(function, arguments, [(2, 4, 5, 7), (1, 2, 1, 3)], "b, d, h, w")


@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample(align_corners):
    def arguments(b, h, w):
        return array(0, b, h, w, 3), array(1, b, 6, 2)

    function = partial(grid_sample, padding_mode="reflection", align_corners=align_corners)
    check_exported(function, arguments, [(2, 5, 7), (1, 2, 4)], "b, h, w")


def test_deform_conv3d():
    def arguments(b, d, h, w):
        return (
            array(0, b, d, h, w, 4),
            array(1, b, d, h, w, 2, 8, 3),
            array(2, 2, 2, 2, 4, 3),
            array(3, 3),
            array(4, b, d, h, w, 2, 8),
        )

    def function(volume, offsets, kernel, bias, mask):
        return deform_conv3d(volume, offsets, kernel, bias, mask=mask)

    check_exported(function, arguments, [(2, 3, 5, 4), (1, 1, 2, 3)], "b, d, h, w")


@both_implementations
def test_offset_resample(ops):
    def arguments(b, h, w):
        return array(0, b, h, w, 3), array(1, b, h, w, 3, 2)

    check_exported(ops.offset_resample, arguments, SIZES, "b, h, w")
    check_exported(ops.offset_resample, lambda b: arguments(b, 5, 7), BATCHES, "b")


@both_implementations
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"feature_group_count": 2},
        {"strides": (2, 1), "kernel_dilation": (1, 2), "padding": ((1, 1), (2, 0))},
    ],
    ids=["plain", "groups", "strides"],
)
def test_deform_conv2d(ops, options):
    strides = options.get("strides", (1, 1))

    def arguments(b, h, w):
        out = (h + 2 - 3) // strides[0] + 1, w
        return (
            array(0, b, h, w, 4),
            array(1, b, *out, 2, 9, 2),
            array(2, 3, 3, 4 // options.get("feature_group_count", 1), 2),
            array(3, 2),
            array(4, b, *out, 2, 9),
        )

    def function(image, offsets, kernel, bias, mask):
        width = image.shape[2]
        padding = {"padding": ((1, 1), (2, 2))} if strides != (1, 1) else {}
        assert width is not None
        return ops.deform_conv2d(image, offsets, kernel, bias, mask=mask, **{**options, **padding})

    check_exported(function, arguments, [(2, 5, 7), (1, 3, 4)], "b, h, w")
    check_exported(function, lambda b: arguments(b, 5, 7), BATCHES, "b")


@pytest.mark.parametrize("align_corners", [False, True])
def test_grids_and_crops_of_images_of_any_size(align_corners):
    def arguments(b, h, w):
        return array(0, b, h, w, 2), array(1, b, 2, 3), array(2, b, 2)

    def function(image, theta, top_left):
        hw = image.shape[1:3]
        grid = affine_grid(theta, input_hw=hw, output_hw=(3, 4), align_corners=align_corners)
        of_its_size = affine_grid(theta, input_hw=(9, 8), output_hw=hw, align_corners=align_corners)
        crop = crop_theta(top_left, (2.5, 3), input_hw=hw, align_corners=align_corners)
        whole = crop_theta(top_left, hw, input_hw=(9, 8), align_corners=align_corners)
        return bilinear_sample(image, grid), of_its_size, crop, whole

    # With align_corners a crop of a single pixel is not defined.
    more = 1 if align_corners else 0
    check_exported(function, lambda b, h, w: arguments(b, h + more, w + more), SIZES, "b, h, w")


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_identity_stays_exact(align_corners):
    """In float32 a grid's positions are as whole as those for a size that is a number."""
    (n,) = export.symbolic_shape("n")

    def identity(image):
        hw = image.shape[1:3]
        return affine_grid(jnp.eye(2, 3)[None], input_hw=hw, output_hw=hw, align_corners=align_corners)

    program = export.export(jax.jit(identity))(jax.ShapeDtypeStruct((1, n + 1, 5, 1), jnp.float32))
    for size in (2, 7, 33, 100):
        grid = program.call(jnp.zeros((1, size, 5, 1)))
        assert jnp.array_equal(grid[0, :, 0, 0], jnp.arange(size, dtype=jnp.float32))


def test_windows_of_images_of_any_size():
    def arguments(b, h, w):
        return array(0, b, h + 4, w + 5, 2), array(1, b, 4, 2, like=in_and_around(4))

    def function(image, coords):
        top_left = jnp.ones((image.shape[0], 2), jnp.int32)
        return (
            sample_crop(image, top_left, coords, crop_hw=(3, 4)),
            max_pool_crop(image, top_left, crop_hw=(3, 4), window=2),
            separable_sample(image, coords[..., 0], coords[..., 1]),
        )

    check_exported(function, arguments, [(2, 1, 1), (1, 3, 5)], "b, h, w")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (lambda b, c: ((b, 5, 7, 3), (c, 4, 2)), "coords must have shape"),
        (lambda b, c: ((b, 5, 7, 3), (b, 4, 3)), "coords must have shape"),
        (lambda b, c: ((b, c, 7), (b, 4, 2)), "image must have axes"),
        (lambda b, c: ((b, 0, c, 3), (b, 4, 2)), "image must have at least one pixel"),
    ],
)
def test_wrong_shapes_are_refused_where_symbols_are_in_them(shapes, said):
    specs = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes(*export.symbolic_shape("b, c")))
    with pytest.raises(ValueError, match=said):
        export.export(jax.jit(bilinear_sample))(*specs)
