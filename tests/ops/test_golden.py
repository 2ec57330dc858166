"""Stored outputs and gradients of torch (grid_sample) and torchvision (deform_conv2d), float64, every file.

They lie in `shared/data/golden`, where `shared` is beside the repository or what GEOATTN_SHARED names.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax import (
    affine_grid,
    bilinear_sample,
    deform_conv2d,
    mask_from_torchvision,
    offsets_from_torchvision,
)

SHARED = Path(os.environ.get("GEOATTN_SHARED", Path(__file__).parents[3] / "shared"))
FILES = sorted((SHARED / "data" / "golden").glob("*.npz"))
NONE = pytest.param(None, marks=pytest.mark.skip(reason=f"no golden files in {SHARED / 'data' / 'golden'}"))


def to_nhwc(array: jax.Array) -> jax.Array:
    return jnp.transpose(array, (0, 2, 3, 1))


def to_nchw(array: jax.Array) -> jax.Array:
    return jnp.transpose(array, (0, 3, 1, 2))


def grid_sample(golden: dict[str, np.ndarray]):
    """The function of the file's differentiable inputs, in torch's layout."""
    align_corners, padding_mode = bool(golden["align_corners"]), str(golden["padding_mode"])

    def function(inputs):
        image = to_nhwc(inputs["input"])
        grid = affine_grid(
            inputs["theta"],
            input_hw=image.shape[1:3],
            output_hw=golden["output"].shape[2:],
            align_corners=align_corners,
        )
        return to_nchw(bilinear_sample(image, grid, padding_mode=padding_mode))

    return function


def torchvision_deform_conv2d(golden: dict[str, np.ndarray]):
    """The function of the file's differentiable inputs, in torchvision's layout."""
    strides, (pad_y, pad_x), dilation = (
        tuple(golden[name].tolist()) for name in ("stride", "padding", "dilation")
    )
    layout = {
        "kernel_size": golden["weight"].shape[2:],
        "offset_groups": int(golden["offset_groups"]),
    }

    def function(inputs):
        output = deform_conv2d(
            to_nhwc(inputs["input"]),
            offsets_from_torchvision(inputs["offset"], **layout),
            jnp.transpose(inputs["weight"], (2, 3, 1, 0)),
            inputs["bias"],
            mask=mask_from_torchvision(inputs["mask"], **layout) if "mask" in inputs else None,
            strides=strides,
            padding=((pad_y, pad_y), (pad_x, pad_x)),
            kernel_dilation=dilation,
            feature_group_count=int(golden["groups"]),
        )
        return to_nchw(output)

    return function


FUNCTIONS = {"grid_sample": grid_sample, "deform_conv2d": torchvision_deform_conv2d}


@pytest.mark.parametrize("path", FILES or [NONE], ids=lambda path: path.stem if path else "none")
def test_outputs_and_all_gradients(x64, path):
    golden = dict(np.load(path))
    gradients = {name.removeprefix("grad_"): golden[name] for name in golden if name.startswith("grad_")}
    cotangent = gradients.pop("output")
    function = FUNCTIONS[path.stem.rpartition("_")[0]](golden)
    inputs = {name: jnp.asarray(golden[name]) for name in gradients}

    output, vjp = jax.vjp(jax.jit(function), inputs)
    np.testing.assert_allclose(output, golden["output"], rtol=0, atol=1e-9)
    (computed,) = vjp(jnp.asarray(cotangent))
    for name, expected in gradients.items():
        np.testing.assert_allclose(computed[name], expected, rtol=0, atol=1e-9, err_msg=name)
