"""deform_conv2d, deform_conv3d and the converters from torchvision's layout: values and gradients."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from inputs import assert_close, normal, off_kinks, on_device
from jax import lax
from jax.test_util import check_grads

import geoattn_jax
from geoattn_jax import deform_conv2d, mask_from_torchvision, offsets_from_torchvision
from geoattn_jax.ops import reference

pytestmark = pytest.mark.usefixtures("x64")
both_implementations = pytest.mark.parametrize(
    "ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"]
)
STEP = 0.25  # exact in binary, and a quarter pixel to the right of an integer the function is a line

# kernel's (height, width), channels of image and output, offset groups, then options.
GEOMETRIES = {
    "plain": ((3, 3), 2, 3, 1, {}),
    "one tap": ((1, 1), 3, 2, 1, {}),
    "even kernel": ((2, 4), 2, 3, 1, {}),
    "valid": ((3, 2), 2, 3, 1, {"padding": "VALID"}),
    "strides": ((3, 3), 2, 3, 1, {"strides": (2, 3)}),
    "strides, valid": ((2, 3), 2, 3, 1, {"strides": (3, 2), "padding": "VALID"}),
    "dilation": ((3, 2), 2, 3, 1, {"kernel_dilation": (1, 3)}),
    "asymmetric padding": (
        (3, 2), 2, 3, 1, {"padding": ((2, 0), (1, 3)), "strides": (2, 1), "kernel_dilation": (1, 2)},
    ),
    "offset groups": ((3, 2), 6, 2, 3, {}),
    "weight groups": ((2, 3), 4, 6, 1, {"feature_group_count": 2}),
    "depthwise": ((2, 2), 3, 6, 3, {"feature_group_count": 3}),
    "offset groups across weight groups": ((2, 3), 6, 4, 3, {"feature_group_count": 2}),
    "weight groups within offset groups": ((2, 2), 8, 4, 2, {"feature_group_count": 4, "strides": (2, 1)}),
}  # fmt: skip
geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())


def conv_options(options: dict) -> dict:
    return {name: value for name, value in options.items() if name != "feature_group_count"}


def draw(geometry, *, batch: int = 2, hw: tuple[int, int] = (5, 7)) -> tuple[dict[str, np.ndarray], dict]:
    """Arguments of v2 (with a mask and a bias), offsets off the kinks; and the options."""
    kernel_hw, channels, features, offset_groups, options = geometry
    rows, columns = oracles.output_size(hw, kernel_hw, **conv_options(options))
    taps = kernel_hw[0] * kernel_hw[1]
    arguments = {
        "image": normal(0, batch, *hw, channels),
        "offsets": off_kinks(1, batch, rows, columns, offset_groups, taps, 2, low=-2, high=2),
        "kernel": normal(2, *kernel_hw, channels // options.get("feature_group_count", 1), features),
        "bias": normal(3, features),
        "mask": np.random.default_rng(4).uniform(0, 2, size=(batch, rows, columns, offset_groups, taps)),
    }
    return arguments, options


@cache
def compiled(ops):
    """deform_conv2d of the package or the reference; tests that share shapes share its compiled programs."""
    options = ("strides", "padding", "kernel_dilation", "feature_group_count")
    return jax.jit(ops.deform_conv2d, static_argnames=options)


@both_implementations
@geometries
def test_equals_the_loops(ops, geometry):
    arguments, options = draw(geometry)
    output = compiled(ops)(**on_device(arguments), **options)
    expected = oracles.deform_conv2d(**arguments, **options)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)


@both_implementations
@pytest.mark.parametrize("left_out", [("bias",), ("mask",), ("bias", "mask")], ids=" and ".join)
def test_bias_and_mask_may_be_left_out(ops, left_out):
    arguments, options = draw(GEOMETRIES["offset groups across weight groups"])
    arguments = {name: array for name, array in arguments.items() if name not in left_out}
    output = compiled(ops)(**on_device(arguments), **options)
    expected = oracles.deform_conv2d(**arguments, **options)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)


@both_implementations
@geometries
def test_without_offsets_it_is_a_convolution(ops, geometry):
    arguments, options = draw(geometry)
    arguments["offsets"], arguments["mask"] = 0 * arguments["offsets"], 0 * arguments["mask"] + 1
    output = compiled(ops)(**on_device(arguments), **options)
    expected = lax.conv_general_dilated(
        arguments["image"], arguments["kernel"],
        window_strides=options.get("strides", (1, 1)),
        padding=options.get("padding", "SAME"),
        rhs_dilation=options.get("kernel_dilation", (1, 1)),
        feature_group_count=options.get("feature_group_count", 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    expected += arguments["bias"]
    assert output.shape == expected.shape
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)


def test_a_mask_of_ones_changes_nothing():
    arguments, options = draw(GEOMETRIES["offset groups across weight groups"])
    del arguments["mask"]
    without = deform_conv2d(**on_device(arguments), **options)
    ones = jnp.ones(arguments["offsets"].shape[:-1])
    np.testing.assert_allclose(
        deform_conv2d(**on_device(arguments), mask=ones, **options), without, rtol=0, atol=1e-14
    )


def test_equal_offsets_shift_the_image():
    """One whole-pixel offset for every tap: the convolution of the shifted image."""
    image, kernel = normal(0, 2, 6, 8, 3), normal(1, 3, 2, 3, 4)
    offsets = np.broadcast_to([2.0, -1.0], (2, 4, 7, 1, 6, 2))
    shifted = np.pad(image[:, 2:, :-1], ((0, 0), (0, 2), (1, 0), (0, 0)))
    output = deform_conv2d(jnp.asarray(image), jnp.asarray(offsets), jnp.asarray(kernel), padding="VALID")
    expected = lax.conv_general_dilated(
        jnp.asarray(shifted), jnp.asarray(kernel), (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)


def test_a_kernel_larger_than_the_image():
    arguments, _ = draw(((5, 4), 2, 3, 1, {}), hw=(2, 1))
    output = deform_conv2d(**on_device(arguments))
    np.testing.assert_allclose(output, oracles.deform_conv2d(**arguments), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["asymmetric padding", "offset groups across weight groups"])
def test_gradients(name):
    """First and second order."""
    arguments, options = draw(GEOMETRIES[name], batch=1, hw=(4, 3))
    function = jax.jit(lambda arguments: deform_conv2d(**arguments, **options))
    check_grads(function, (on_device(arguments),), order=2, modes=["rev"])


@both_implementations
@pytest.mark.parametrize("largest", [0, 4])
def test_at_whole_offsets_the_derivative_is_the_right_hand_one(ops, largest):
    """With 0 the start of every deformable layer, with 4 also on the rim of the image and beyond."""
    arguments, options = draw(GEOMETRIES["offset groups across weight groups"])
    shape = arguments["offsets"].shape
    offsets = jnp.asarray(np.random.default_rng(5).integers(-largest, largest + 1, size=shape).astype(float))
    rest = on_device({name: array for name, array in arguments.items() if name != "offsets"})
    convolve = jax.jit(lambda offsets: ops.deform_conv2d(offsets=offsets, **rest, **options))
    output, vjp = jax.vjp(convolve, offsets)
    cotangent = jnp.asarray(normal(6, *output.shape))
    (gradient,) = vjp(cotangent)
    for group, tap, axis in np.ndindex(shape[3:]):
        difference = (convolve(offsets.at[:, :, :, group, tap, axis].add(STEP)) - output) / STEP
        expected = jnp.sum(difference * cotangent, axis=-1)
        np.testing.assert_allclose(gradient[:, :, :, group, tap, axis], expected, rtol=0, atol=1e-11)
        assert np.count_nonzero(gradient[:, :, :, group, tap, axis])


@pytest.mark.parametrize("kernel_size", [(3, 2), (1, 4)])
def test_offsets_from_torchvision(kernel_size):
    """torchvision stacks groups, taps and (dy, dx) into channels, in this order."""
    taps = kernel_size[0] * kernel_size[1]
    offsets = normal(0, 2, 4, 5, 3, taps, 2)
    stacked = np.empty((2, 3 * taps * 2, 4, 5))
    for group, tap, axis in np.ndindex(3, taps, 2):
        stacked[:, (group * taps + tap) * 2 + axis] = offsets[:, :, :, group, tap, axis]
    convert = partial(offsets_from_torchvision, kernel_size=kernel_size, offset_groups=3)
    converted = convert(jnp.asarray(stacked))
    np.testing.assert_array_equal(converted, offsets)
    np.testing.assert_array_equal(jax.jit(convert)(jnp.asarray(stacked)), offsets)
    (gradient,) = jax.vjp(convert, jnp.asarray(stacked))[1](converted)
    np.testing.assert_array_equal(gradient, stacked)


@pytest.mark.parametrize("kernel_size", [(3, 2), (1, 4)])
def test_mask_from_torchvision(kernel_size):
    taps = kernel_size[0] * kernel_size[1]
    mask = normal(0, 2, 4, 5, 3, taps)
    stacked = np.empty((2, 3 * taps, 4, 5))
    for group, tap in np.ndindex(3, taps):
        stacked[:, group * taps + tap] = mask[:, :, :, group, tap]
    convert = partial(mask_from_torchvision, kernel_size=kernel_size, offset_groups=3)
    converted = convert(jnp.asarray(stacked))
    np.testing.assert_array_equal(converted, mask)
    (gradient,) = jax.vjp(convert, jnp.asarray(stacked))[1](converted)
    np.testing.assert_array_equal(gradient, stacked)


# Volumes ------------------------------------------------------------

# kernel's sizes, channels of volume and output, offset groups, then options.
VOLUMES = {
    "plain": ((3, 1, 2), 2, 3, 1, {}),
    "strides, dilation, padding": (
        (2, 2, 1), 2, 1, 1,
        {"strides": (2, 1, 3), "kernel_dilation": (1, 2, 1), "padding": ((2, 0), (0, 1), (1, 1))},
    ),
    "offset groups across weight groups": (
        (1, 2, 2), 6, 4, 3, {"feature_group_count": 2, "padding": "VALID"},
    ),
}  # fmt: skip


def draw_volume(geometry) -> tuple[dict[str, np.ndarray], dict]:
    """As `draw`."""
    sizes, (kernel_sizes, channels, features, offset_groups, options) = (3, 4, 5), geometry
    outputs = oracles.output_size(sizes, kernel_sizes, **conv_options(options))
    taps = int(np.prod(kernel_sizes))
    arguments = {
        "volume": normal(0, 2, *sizes, channels),
        "offsets": off_kinks(1, 2, *outputs, offset_groups, taps, 3, low=-2, high=2),
        "kernel": normal(2, *kernel_sizes, channels // options.get("feature_group_count", 1), features),
        "bias": normal(3, features),
        "mask": np.random.default_rng(4).uniform(0, 2, size=(2, *outputs, offset_groups, taps)),
    }
    return arguments, options


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("geometry", VOLUMES.values(), ids=VOLUMES.keys())
def test_volumes(geometry):
    """The loops, lax's convolution where no offset is, and the reference's gradients."""
    arguments, options = draw_volume(geometry)
    expected = oracles.deform_conv3d(**arguments, **options)
    both = {}
    for ops in (geoattn_jax, reference):

        @jax.jit
        def value_and_gradients(arguments, ops=ops):
            output, vjp = jax.vjp(lambda arguments: ops.deform_conv3d(**arguments, **options), arguments)
            return output, vjp(jnp.cos(jnp.arange(output.size, dtype=output.dtype)).reshape(output.shape))[0]

        both[ops] = value_and_gradients(on_device(arguments))
        np.testing.assert_allclose(both[ops][0], expected, rtol=0, atol=1e-12)

        still = {**arguments, "offsets": 0 * arguments["offsets"], "mask": 0 * arguments["mask"] + 1}
        convolved = lax.conv_general_dilated(
            arguments["volume"], arguments["kernel"],
            window_strides=options.get("strides", (1, 1, 1)),
            padding=options.get("padding", "SAME"),
            rhs_dilation=options.get("kernel_dilation", (1, 1, 1)),
            feature_group_count=options.get("feature_group_count", 1),
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )  # fmt: skip
        output, _ = value_and_gradients(on_device(still))
        np.testing.assert_allclose(output, convolved + arguments["bias"], rtol=0, atol=1e-12)
    assert_close(both[geoattn_jax][1], both[reference][1])


@pytest.mark.usefixtures("compiled_quickly")
def test_volumes_without_bias_and_mask():
    arguments, options = draw_volume(VOLUMES["plain"])
    del arguments["bias"], arguments["mask"]
    output = jax.jit(partial(geoattn_jax.deform_conv3d, **options))(**on_device(arguments))
    np.testing.assert_allclose(output, oracles.deform_conv3d(**arguments, **options), rtol=0, atol=1e-12)
