"""Bad input: an error that names the argument, what came and what was expected."""

import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax import (
    affine_grid,
    bilinear_sample,
    crop_theta,
    deform_attention,
    deform_conv2d,
    deform_conv3d,
    grid_sample,
    mask_from_torchvision,
    offset_resample,
    offsets_and_mask_from_dcnv2,
    offsets_from_torchvision,
    sample,
)

pytestmark = pytest.mark.usefixtures("unchecked")

# Right calls. Each bad one below replaces a few of these arguments.
RIGHT = {
    affine_grid: {"theta": (2, 2, 3), "input_hw": (5, 7), "output_hw": (3, 4)},
    crop_theta: {"top_left": (2, 2), "size": (3.0, 4.0), "input_hw": (5, 7)},
    bilinear_sample: {"image": (2, 5, 7, 3), "coords": (2, 4, 6, 2)},
    sample: {"image": (2, 4, 5, 7, 3), "coords": (2, 6, 3)},
    grid_sample: {"image": (2, 5, 7, 3), "grid": (2, 4, 6, 2)},
    offset_resample: {"image": (2, 5, 7, 3), "offsets": (2, 5, 7, 3, 2)},
    deform_conv2d: {
        "image": (2, 5, 7, 4), "offsets": (2, 5, 7, 2, 6, 2), "kernel": (3, 2, 4, 6), "bias": (6,),
        "mask": (2, 5, 7, 2, 6),
    },
    deform_attention: {
        "values": (2, 17, 3, 5), "locations": (2, 4, 3, 2, 6, 2), "weights": (2, 4, 3, 2, 6),
        "level_shapes": ((3, 5), (1, 2)),
    },
    deform_conv3d: {
        "volume": (2, 3, 5, 7, 4), "offsets": (2, 3, 5, 7, 2, 6, 3), "kernel": (1, 3, 2, 4, 6), "bias": (6,),
        "mask": (2, 3, 5, 7, 2, 6),
    },
    offsets_from_torchvision: {"offset_nchw": (2, 24, 4, 5), "kernel_size": (3, 2), "offset_groups": 2},
    offsets_and_mask_from_dcnv2: {"branch_nchw": (2, 36, 4, 5), "kernel_size": (3, 2), "offset_groups": 2},
    mask_from_torchvision: {"mask_nchw": (2, 12, 4, 5), "kernel_size": (3, 2), "offset_groups": 2},
}  # fmt: skip
ARRAYS = {
    "theta",
    "top_left",
    "image",
    "volume",
    "coords",
    "grid",
    "offsets",
    "kernel",
    "bias",
    "mask",
    "values",
    "locations",
    "weights",
    "offset_nchw",
    "mask_nchw",
    "branch_nchw",
}


def whole_numbers(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int32)


# The function, what replaces the right arguments, and what the message must say: the argument, what came,
# what was expected.
BAD = [
    (affine_grid, {"theta": (2, 6)}, ["theta", "(2, 6)", "2, 3)", "theta.reshape(-1, 2, 3)"]),
    (affine_grid, {"theta": (2, 3, 2)}, ["theta", "(2, 3, 2)", "(2, 2, 3)"]),
    (affine_grid, {"theta": whole_numbers(2, 2, 3)}, ["theta", "int32", "floating"]),
    (affine_grid, {"input_hw": (5,)}, ["input_hw", "(5,)", "two"]),
    (affine_grid, {"output_hw": (0, 4)}, ["output_hw", "(0, 4)", "1"]),
    (affine_grid, {"output_hw": (3.5, 4)}, ["output_hw", "(3.5, 4)", "whole"]),
    (crop_theta, {"top_left": (2, 3)}, ["top_left", "(2, 3)", "(2, 2)"]),
    (crop_theta, {"top_left": (2,)}, ["top_left", "(2,)", "2)", "top_left[None]"]),
    (crop_theta, {"top_left": whole_numbers(2, 2)}, ["top_left", "int32", "floating"]),
    (crop_theta, {"size": (3.0,)}, ["size", "(3.0,)", "two"]),
    (crop_theta, {"size": (3.0, -1.0)}, ["size", "(3.0, -1.0)", "positive"]),
    (crop_theta, {"input_hw": (5, 0)}, ["input_hw", "(5, 0)", "1"]),
    (crop_theta, {"input_hw": (1, 7), "align_corners": True}, ["input_hw", "(1, 7)", "2"]),
    (bilinear_sample, {"image": (5, 7, 3)}, ["image", "(5, 7, 3)", "b, h, w, c", "image[None]"]),
    (bilinear_sample, {"image": (2, 4, 5, 7, 3)}, ["image", "(2, 4, 5, 7, 3)", "b, h, w, c"]),
    (bilinear_sample, {"image": whole_numbers(2, 5, 7, 3)}, ["image", "int32", "floating"]),
    (bilinear_sample, {"coords": whole_numbers(2, 4, 6, 2)}, ["coords", "int32", "floating"]),
    (bilinear_sample, {"coords": (3, 4, 6, 2)}, ["coords", "(3, 4, 6, 2)", "(2, 4, 6, 2)"]),
    (bilinear_sample, {"coords": (2, 4, 6, 3)}, ["coords", "(2, 4, 6, 3)", "(2, 4, 6, 2)"]),
    (bilinear_sample, {"coords": (2,)}, ["coords", "(2,)", "2)", "(y, x) on the last axis"]),
    (bilinear_sample, {"padding_mode": "reflect"}, ["padding_mode", "'reflect'", "'zeros'", "'border'"]),
    (sample, {"image": (5, 7, 3)}, ["image", "(5, 7, 3)", "b, h, w, c", "image[None]"]),
    (sample, {"image": (2, 2, 4, 5, 7, 3)}, ["image", "(2, 2, 4, 5, 7, 3)", "b, h, w, c"]),
    (sample, {"image": (2, 0, 5, 7, 3)}, ["image", "(2, 0, 5, 7, 3)", "at least one pixel"]),
    (sample, {"coords": (2, 6, 2)}, ["coords", "(2, 6, 2)", "(2, 6, 3)", "(z, y, x) on the last axis"]),
    (sample, {"image": (2, 5, 7, 3)}, ["coords", "(2, 6, 3)", "(2, 6, 2)", "(y, x) on the last axis"]),
    (sample, {"coords": (3, 6, 3)}, ["coords", "(3, 6, 3)", "(2, 6, 3)"]),
    (sample, {"coords": whole_numbers(2, 6, 3)}, ["coords", "int32", "floating"]),
    (sample, {"method": "cubic"}, ["method", "'cubic'", "'nearest'", "'bilinear'", "'bicubic'"]),
    (sample, {"padding_mode": "edge"}, ["padding_mode", "'edge'", "'zeros'", "'border'", "'reflection'"]),
    (sample, {"reflect_at": "center"}, ["reflect_at", "'center'", "'edge'", "'centre'"]),
    (grid_sample, {"grid": (2, 4, 6, 3)}, ["grid", "(2, 4, 6, 3)", "(2, 4, 6, 2)", "(x, y) on the last"]),
    (grid_sample, {"image": (2, 4, 5, 7, 3)}, ["grid", "(2, 4, 6, 2)", "(x, y, z) on the last axis"]),
    (grid_sample, {"align_corners": None}, ["align_corners", "True or False", "None"]),
    (grid_sample, {"grid": (4, 4, 3), "image": (4, 5, 6, 2)}, ["grid", "(4, 4, 3)", "image[None]"]),
    (grid_sample, {"method": "linear"}, ["method", "'linear'", "'bilinear'"]),
    (grid_sample, {"padding_mode": "mirror"}, ["padding_mode", "'mirror'", "'reflection'"]),
    (offset_resample, {"image": (5, 7, 3)}, ["image", "(5, 7, 3)", "b, h, w, c"]),
    (offset_resample, {"image": whole_numbers(2, 5, 7, 3)}, ["image", "int32", "floating"]),
    (offset_resample, {"offsets": (2, 5, 7, 2)}, ["offsets", "(2, 5, 7, 2)", "2)", "to (C, 2)"]),
    (offset_resample, {"offsets": (3, 5, 7, 3, 2)}, ["offsets", "(3, 5, 7, 3, 2)", "(2, 5, 7, 3, 2)"]),
    (offset_resample, {"offsets": (2, 5, 6, 3, 2)}, ["offsets", "(2, 5, 6, 3, 2)", "(2, 5, 7, 3, 2)"]),
    (offset_resample, {"offsets": (2, 5, 7, 1, 2)}, ["offsets", "(2, 5, 7, 1, 2)", "(2, 5, 7, 3, 2)"]),
    (offset_resample, {"offsets": whole_numbers(2, 5, 7, 3, 2)}, ["offsets", "int32", "floating"]),
    (deform_conv2d, {"image": (5, 7, 4)}, ["image", "(5, 7, 4)", "b, h, w"]),
    (deform_conv2d, {"image": whole_numbers(2, 5, 7, 4)}, ["image", "int32", "floating"]),
    (deform_conv2d, {"offsets": (2, 5, 7, 24)}, ["offsets", "(2, 5, 7, 24)", "2)", "groups, -1, 2)"]),
    (deform_conv2d, {"offsets": whole_numbers(2, 5, 7, 2, 6, 2)}, ["offsets", "int32", "floating"]),
    (deform_conv2d, {"offsets": (3, 5, 7, 2, 6, 2)}, ["offsets", "(3, 5, 7, 2, 6, 2)", "(2, 5, 7, 2, 6, 2)"]),
    (deform_conv2d, {"offsets": (2, 5, 7, 2, 9, 2)}, ["offsets", "(2, 5, 7, 2, 9, 2)", "(2, 5, 7, 2, 6, 2)"]),
    (deform_conv2d, {"offsets": (2, 5, 7, 2, 6, 3)}, ["offsets", "(2, 5, 7, 2, 6, 3)", "(2, 5, 7, 2, 6, 2)"]),
    (deform_conv2d, {"strides": (2, 1)}, ["offsets", "(2, 5, 7, 2, 6, 2)", "(2, 3, 7, 2, 6, 2)"]),
    (deform_conv2d, {"padding": "VALID"}, ["offsets", "(2, 5, 7, 2, 6, 2)", "(2, 3, 6, 2, 6, 2)"]),
    (deform_conv2d, {"padding": ((1, 2), (0, 0))}, ["offsets", "(2, 5, 7, 2, 6, 2)", "(2, 6, 6, 2, 6, 2)"]),
    (
        deform_conv2d,
        {"padding": "VALID", "kernel_dilation": (1, 3)},
        ["offsets", "(2, 5, 7, 2, 6, 2)", "(2, 3, 4, 2, 6, 2)"],
    ),
    (deform_conv2d, {"offsets": (2, 5, 7, 3, 6, 2), "mask": (2, 5, 7, 3, 6)}, ["offsets", "3", "4"]),
    (deform_conv2d, {"kernel": (3, 2, 4)}, ["kernel", "(3, 2, 4)", "kh, kw", "HWIO"]),
    (deform_conv2d, {"kernel": whole_numbers(3, 2, 4, 6)}, ["kernel", "int32", "floating"]),
    (deform_conv2d, {"kernel": (3, 2, 3, 6)}, ["kernel", "(3, 2, 3, 6)", "(3, 2, 4, 6)"]),
    (deform_conv2d, {"feature_group_count": 2}, ["kernel", "(3, 2, 4, 6)", "(3, 2, 2, 6)"]),
    (deform_conv2d, {"feature_group_count": 3, "kernel": (3, 2, 1, 6)}, ["feature_group_count", "3", "4"]),
    (deform_conv2d, {"feature_group_count": 4, "kernel": (3, 2, 1, 6)}, ["feature_group_count", "4", "6"]),
    (deform_conv2d, {"feature_group_count": 0}, ["feature_group_count", "0", "4"]),
    (deform_conv2d, {"bias": (5,)}, ["bias", "(5,)", "(6,)"]),
    (deform_conv2d, {"bias": (1, 6)}, ["bias", "(1, 6)", "every output channel"]),
    (deform_conv2d, {"mask": (2, 5, 7, 12)}, ["mask", "(2, 5, 7, 12)", "groups, -1)"]),
    (deform_conv2d, {"mask": (2, 5, 7, 1, 6)}, ["mask", "(2, 5, 7, 1, 6)", "(2, 5, 7, 2, 6)"]),
    (deform_conv2d, {"mask": (2, 5, 6, 2, 6)}, ["mask", "(2, 5, 6, 2, 6)", "(2, 5, 7, 2, 6)"]),
    (deform_conv2d, {"mask": np.ones((2, 5, 7, 2, 6), bool)}, ["mask", "bool", "floating"]),
    (deform_conv2d, {"padding": "FULL"}, ["padding", "'FULL'", "SAME", "VALID"]),
    (deform_conv2d, {"padding": 1}, ["padding", "got 1"]),
    (deform_conv2d, {"padding": (1, 1)}, ["padding", "(1, 1)"]),
    (deform_conv2d, {"padding": ((1, 1),)}, ["padding", "((1, 1),)"]),
    (deform_conv2d, {"strides": (1,)}, ["strides", "(1,)", "two"]),
    (deform_conv2d, {"strides": (0, 1)}, ["strides", "(0, 1)", "1"]),
    (deform_conv2d, {"kernel_dilation": (1, 0)}, ["kernel_dilation", "(1, 0)", "1"]),
    (deform_attention, {"values": (2, 17, 15)}, ["values", "(2, 17, 15)", "b, pixels, heads, c"]),
    (deform_attention, {"values": whole_numbers(2, 17, 3, 5)}, ["values", "int32", "floating"]),
    (deform_attention, {"values": (2, 16, 3, 5)}, ["values", "17 pixels", "got 16", "((3, 5), (1, 2))"]),
    (deform_attention, {"locations": (2, 4, 72)}, ["locations", "(2, 4, 72)", "levels, points, 2)"]),
    (deform_attention, {"locations": whole_numbers(2, 4, 3, 2, 6, 2)}, ["locations", "int32", "floating"]),
    *(
        (deform_attention, {"locations": shape}, ["locations", str(shape), "(2, 4, 3, 2, 6, 2)"])
        for shape in ((1, 4, 3, 2, 6, 2), (2, 4, 5, 2, 6, 2), (2, 4, 3, 1, 6, 2), (2, 4, 3, 2, 6, 3))
    ),
    (deform_attention, {"weights": (2, 4, 36)}, ["weights", "(2, 4, 36)", "levels, points)"]),
    (deform_attention, {"weights": whole_numbers(2, 4, 3, 2, 6)}, ["weights", "int32", "floating"]),
    (deform_attention, {"weights": (2, 5, 3, 2, 6)}, ["weights", "(2, 5, 3, 2, 6)", "(2, 4, 3, 2, 6)"]),
    (deform_attention, {"level_shapes": ()}, ["level_shapes", "()", "each level"]),
    (deform_attention, {"level_shapes": (17,)}, ["level_shapes", "(17,)", "(height, width)"]),
    (deform_attention, {"level_shapes": ((3, 5), (2,))}, ["level_shapes", "((3, 5), (2,))", "pair"]),
    (
        deform_attention,
        {"level_shapes": ((3, 5), (0, 2))},
        ["level_shapes", "((3, 5), (0, 2))", "at least 1"],
    ),
    (deform_conv3d, {"volume": (2, 5, 7, 4)}, ["volume", "(2, 5, 7, 4)", "b, d, h, w", "volume[None]"]),
    (deform_conv3d, {"volume": (2, 0, 5, 7, 4)}, ["volume", "(2, 0, 5, 7, 4)", "at least one pixel"]),
    (deform_conv3d, {"offsets": (2, 3, 5, 7, 2, 6, 2)}, ["offsets", "6, 2)", "(2, 3, 5, 7, 2, 6, 3)", "dz"]),
    (deform_conv3d, {"offsets": (2, 3, 5, 7, 36)}, ["offsets", "(2, 3, 5, 7, 36)", "groups, -1, 3)"]),
    (deform_conv3d, {"kernel": (3, 2, 4, 6)}, ["kernel", "(3, 2, 4, 6)", "kd, kh, kw", "DHWIO"]),
    (deform_conv3d, {"kernel": (9, 3, 2, 4, 6), "padding": "VALID"}, ["kernel", "(9, 3, 2, 4, 6)", "volume"]),
    (deform_conv3d, {"feature_group_count": 3}, ["feature_group_count", "3", "4 channels of volume"]),
    (deform_conv3d, {"mask": (2, 3, 5, 7, 12)}, ["mask", "(2, 3, 5, 7, 12)", "groups, -1)"]),
    (deform_conv3d, {"strides": (1, 1)}, ["strides", "(1, 1)", "three", "z, y, x"]),
    (deform_conv3d, {"kernel_dilation": (1, 0, 1)}, ["kernel_dilation", "(1, 0, 1)", "1"]),
    (deform_conv3d, {"padding": ((1, 1), (0, 0))}, ["padding", "((1, 1), (0, 0))", "(front, back)"]),
    (
        offsets_from_torchvision,
        {"offset_nchw": (24, 4, 5)},
        ["(24, 4, 5)", "offset_nchw[None]"],
    ),
    (offsets_from_torchvision, {"offset_nchw": (2, 12, 4, 5)}, ["offset_nchw", "(2, 12, 4, 5)", "24"]),
    (offsets_from_torchvision, {"kernel_size": (3,)}, ["kernel_size", "(3,)", "two"]),
    (mask_from_torchvision, {"mask_nchw": (12, 4, 5)}, ["mask_nchw", "(12, 4, 5)", "mask_nchw[None]"]),
    (mask_from_torchvision, {"mask_nchw": (2, 24, 4, 5)}, ["mask_nchw", "(2, 24, 4, 5)", "12"]),
    (offsets_and_mask_from_dcnv2, {"branch_nchw": (2, 24, 4, 5)}, ["branch_nchw", "(2, 24, 4, 5)", "36"]),
    (mask_from_torchvision, {"offset_groups": 3}, ["mask_nchw", "(2, 12, 4, 5)", "18"]),
]


def arrays_of(arguments: dict) -> dict:
    """Shapes in place of arrays become arrays of zeros."""
    return {
        name: jnp.zeros(value) if name in ARRAYS and isinstance(value, tuple) else value
        for name, value in arguments.items()
    }


def describe(case) -> str:
    function, replaced, _ = case
    shown = (
        f"{name}={value.dtype if isinstance(value, np.ndarray) else value}"
        for name, value in replaced.items()
    )
    return f"{function.__name__} {' '.join(shown)}".replace("[", "").replace("]", "")


@pytest.mark.parametrize("case", BAD, ids=describe)
def test_message(case):
    function, replaced, expected = case
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (every part of the message is checked below)
        function(**arrays_of({**RIGHT[function], **replaced}))
    message = str(caught.value)
    assert function.__name__ in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_the_right_calls_pass(function):
    """Else the errors above might come from what was not replaced."""
    function(**arrays_of(RIGHT[function]))
