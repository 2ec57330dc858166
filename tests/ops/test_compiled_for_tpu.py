"""Compiled for a TPU, every operation and its gradient: no loop over indices, no float64, no communication.

XLA's TPU compiler runs without a TPU. A loop over indices is what it makes of a scatter or a gather that the
hardware cannot do at once; it takes thousands of times as long as one that it can.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
import pytest

import geoattn_jax
from geoattn_jax.bench.compiled import hlo, target
from geoattn_jax.bench.compiled.costs import costs, uses_float64
from geoattn_jax.bench.compiled.programs import lower_op
from geoattn_jax.ops.crop import max_pool_crop, sample_crop
from geoattn_jax.ops.separable import separable_sample

EVERY_PLATFORM = True

MISSING = target.why_missing("tpu")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no compiler for TPUs: {MISSING}")

B, H, W, C = 8, 24, 20, 24  # two images for each of four devices; cells are packed


@dataclass(frozen=True)
class Case:
    """An operation on arrays of these shapes.

    Attributes:
      function: of the arrays.
      shapes: of the arrays; of those given by (shape, dtype), the dtype, else it is float32.
      parameters: the places of those that are not of the batch, whose gradients devices must add up.
      differentiated: whether with its gradient.
    """

    function: Callable[..., jax.Array]
    shapes: Sequence
    parameters: Sequence[int] = ()
    differentiated: bool = True

    def lower(self, devices, *, dtype="float32"):
        given = [shape if isinstance(shape[0], tuple) else (shape, dtype) for shape in self.shapes]
        structs = [jax.ShapeDtypeStruct(*shape) for shape in given]
        return lower_op(
            self.function, structs, devices, differentiated=self.differentiated, whole=self.parameters
        )


def pooled(frames, top_left):
    return max_pool_crop(frames, top_left, crop_hw=(16, 16), window=4)


def both_from_dcnv2(branch):
    offsets, mask = geoattn_jax.offsets_and_mask_from_dcnv2(branch, kernel_size=(3, 2), offset_groups=2)
    return jnp.concatenate([offsets, mask[..., None]], axis=-1)


def positions(*shape):
    """Always of float32."""
    return shape, "float32"


IMAGE, VOLUME = (B, H, W, C), (B, 4, 10, 9, C)
TAPS = positions(B, H, W, 1, 9, 2)
CASES = {
    "affine_grid": Case(
        partial(geoattn_jax.affine_grid, input_hw=(H, W), output_hw=(12, 14)), [positions(B, 2, 3)]
    ),
    "crop_theta": Case(partial(geoattn_jax.crop_theta, size=(9, 7), input_hw=(H, W)), [positions(B, 2)]),
    "bilinear_sample": Case(geoattn_jax.bilinear_sample, [IMAGE, positions(B, 12, 14, 2)]),
    "bilinear_sample of one channel": Case(
        partial(geoattn_jax.bilinear_sample, padding_mode="border"), [(B, H, W, 1), positions(B, 12, 14, 2)]
    ),
    "bilinear_sample of patches": Case(
        geoattn_jax.bilinear_sample, [(B, H, W, 48), positions(B, 12, 14, 2)]
    ),
    **{
        f"sample, {method} with {padding_mode}": Case(
            partial(geoattn_jax.sample, method=method, padding_mode=padding_mode),
            [IMAGE, positions(B, 12, 14, 2)],
        )
        for method, padding_mode in (("nearest", "border"), ("bilinear", "reflection"), ("bicubic", "zeros"))
    },
    "sample": Case(partial(geoattn_jax.sample, padding_mode="reflection"), [VOLUME, positions(B, 99, 3)]),
    "grid_sample": Case(
        partial(geoattn_jax.grid_sample, method="bicubic", padding_mode="border", align_corners=True),
        [IMAGE, positions(B, 12, 14, 2)],
    ),
    "offset_resample": Case(geoattn_jax.offset_resample, [IMAGE, positions(B, H, W, C, 2)]),
    "deform_conv2d": Case(geoattn_jax.deform_conv2d, [IMAGE, TAPS, (3, 3, C, 10)], parameters=[2]),
    "deform_conv2d with everything": Case(
        lambda image, offsets, kernel, bias, mask: geoattn_jax.deform_conv2d(
            image, offsets, kernel, bias, mask=mask, strides=(2, 1), kernel_dilation=(1, 2),
            feature_group_count=2,
        ),
        [IMAGE, positions(B, 12, W, 2, 6, 2), (3, 2, C // 2, 10), (10,), positions(B, 12, W, 2, 6)],
        parameters=[2, 3],
    ),
    "deform_conv3d": Case(
        lambda volume, offsets, kernel, mask: geoattn_jax.deform_conv3d(volume, offsets, kernel, mask=mask),
        [VOLUME, positions(B, 4, 10, 9, 2, 18, 3), (2, 3, 3, C, 10), positions(B, 4, 10, 9, 2, 18)],
        parameters=[2],
    ),
    "deform_attention": Case(
        partial(geoattn_jax.deform_attention, level_shapes=((12, 14), (6, 7))),
        [(B, 12 * 14 + 6 * 7, 2, C), positions(B, 30, 2, 2, 4, 2), positions(B, 30, 2, 2, 4)],
    ),
    "offsets_from_torchvision": Case(
        partial(geoattn_jax.offsets_from_torchvision, kernel_size=(3, 2), offset_groups=2),
        [positions(B, 24, H, W)],
    ),
    "mask_from_torchvision": Case(
        partial(geoattn_jax.mask_from_torchvision, kernel_size=(3, 2), offset_groups=2),
        [positions(B, 12, H, W)],
    ),
    "offsets_and_mask_from_dcnv2": Case(
        both_from_dcnv2,
        [positions(B, 36, H, W)],
    ),
    "sample_crop": Case(
        lambda frames, top_left, coords: sample_crop(frames, top_left, coords, crop_hw=(16, 16)),
        [(B, H, W, 3), ((B, 2), "int32"), positions(B, 8, 8, 2)],
    ),
    "separable_sample": Case(separable_sample, [(B, H, W, 3), positions(B, 16), positions(B, 18)]),
    "separable_sample of a window": Case(
        lambda frames, top_left, *axes: separable_sample(frames, *axes, top_left=top_left, crop_hw=(16, 16)),
        [(B, H, W, 3), ((B, 2), "int32"), positions(B, 16), positions(B, 18)],
    ),
    "max_pool_crop": Case(pooled, [(B, H, W, 3), ((B, 2), "int32")]),
    "max_pool_crop without gradient": Case(
        pooled, [(B, H, W, 3), ((B, 2), "int32")], differentiated=False
    ),
}  # fmt: skip


@cache
def four_tpus():
    return target.devices_of("tpu", "v5e:2x2")


def test_every_public_function_has_a_case():
    public = {name for name in geoattn_jax.__all__ if name.islower()}
    assert public <= set(CASES)


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("name", CASES)
def test_holds_on_tpus(name, devices):
    case = CASES[name]
    lowered = case.lower(four_tpus()[:devices])
    assert not uses_float64(hlo.parse(lowered.as_text(dialect="hlo")))
    found = costs(hlo.parse(lowered.compile().as_text()))
    assert [(loop.source, loop.trips) for loop in found.index_loops] == []
    assert all(loop.trips is not None for loop in found.loops)
    reductions = found.collectives.pop("all-reduce", 0)
    assert reductions <= (len(case.parameters) if devices > 1 else 0)
    assert found.collectives == {}


@pytest.mark.parametrize("name", ["bilinear_sample", "offset_resample", "deform_conv2d"])
def test_bfloat16_holds_on_a_tpu(name):
    lowered = CASES[name].lower(four_tpus()[:1], dtype="bfloat16")
    found = costs(hlo.parse(lowered.compile().as_text()))
    assert [(loop.source, loop.trips) for loop in found.index_loops] == []
