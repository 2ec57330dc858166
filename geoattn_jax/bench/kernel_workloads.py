"""What the kernels are timed on: their inputs, and who computes them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench import torch_rivals
from geoattn_jax.bench.suite import Contender
from geoattn_jax.ops import reference
from geoattn_jax.ops.deform_attention import LevelShapes, deform_attention
from geoattn_jax.ops.deform_conv import deform_conv2d, deform_conv3d
from geoattn_jax.ops.grid import affine_grid, crop_theta
from geoattn_jax.ops.sample import bilinear_sample, offset_resample, sample

FORWARD, BOTH = "forward", "forward+backward"


@dataclass(frozen=True)
class Workload:
    """One row of inputs and the operation on them.

    Attributes:
      what: what it stands for.
      inputs: draws the inputs by name, in the operation's order; given True, in a tiny size.
      computes: the operation's name.
      ours, obvious: this package's fast and plain implementations.
      rivals: PyTorch's implementations of it.
      native: the modes for which there are native kernels.
    """

    what: str
    inputs: Callable[[np.random.Generator, bool], dict[str, np.ndarray]]
    computes: str
    ours: Callable[..., jax.Array]
    obvious: Callable[..., jax.Array]
    rivals: Callable[..., list[Contender]]
    native: tuple[str, ...] = ()


def _sampling(what: str, shape: tuple[int, ...], output_hw: tuple[int, int], theta: Callable) -> Workload:
    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        batch, height, width, channels = (2, 9, 11, 3) if tiny else shape
        thetas = jnp.asarray(theta(random, batch, (height, width)), jnp.float32)
        grid = affine_grid(thetas, input_hw=(height, width), output_hw=(5, 4) if tiny else output_hw)
        return {
            "image": normal(random, (batch, height, width, channels)),
            "positions": between_pixels(np.asarray(grid)),
        }

    return Workload(
        what,
        inputs,
        "bilinear sampling",
        bilinear_sample,
        reference.bilinear_sample,
        torch_rivals.sampling,
        native=(BOTH,),
    )


def _bicubic(what: str, shape: tuple[int, ...]) -> Workload:
    rotated = _sampling(what, shape, shape[1:3], partial(_rotations, zoom=1.0))
    options = {"method": "bicubic", "padding_mode": "reflection"}
    return replace(
        rotated,
        computes="bicubic sampling",
        ours=partial(sample, **options),
        obvious=partial(reference.sample, **options),
        rivals=partial(torch_rivals.sampling, **options),
        native=(),
    )


def _trilinear(what: str, shape: tuple[int, ...]) -> Workload:
    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        batch, *sizes, channels = (2, 4, 5, 6, 3) if tiny else shape
        moved = np.moveaxis(np.indices(sizes), 0, -1) + normal(random, (batch, *sizes, 3))
        return {
            "image": normal(random, (batch, *sizes, channels)),
            "positions": between_pixels(moved.astype(np.float32)),
        }

    return Workload(what, inputs, "trilinear sampling", sample, reference.sample, torch_rivals.sampling)


def _rotations(
    random: np.random.Generator, batch: int, input_hw: tuple[int, int], *, zoom: float
) -> np.ndarray:
    """Rotations by up to 30 degrees, scales within 20% of `zoom`, shifts of up to a tenth of the image."""
    angle = random.uniform(-np.pi / 6, np.pi / 6, batch)
    scale = zoom * random.uniform(0.8, 1.2, batch)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    shift_x, shift_y = random.uniform(-0.2, 0.2, (2, batch))
    return np.stack([cosine, -sine, shift_x, sine, cosine, shift_y], axis=-1).reshape(batch, 2, 3)


def _windows(random: np.random.Generator, batch: int, input_hw: tuple[int, int]) -> np.ndarray:
    """Windows of a quarter of the image's height and width anywhere inside it: SSTN's detail level."""
    window = np.array(input_hw) / 4
    top_left = random.uniform(0, np.array(input_hw) - window, (batch, 2))
    return np.asarray(crop_theta(jnp.asarray(top_left, jnp.float32), tuple(window), input_hw=input_hw))


def _deformable(what: str, shape: tuple[int, ...], size: int, features: int) -> Workload:
    axes = len(shape) - 2

    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        batch, *sizes, channels = (2, *(4, 7, 6)[-axes:], 3) if tiny else shape
        side = 3 if tiny else size
        return {
            "image": normal(random, (batch, *sizes, channels)),
            "offsets": between_pixels(normal(random, (batch, *sizes, 1, side**axes, axes))),
            "kernel": normal(random, (*[side] * axes, channels, features)) / side,
        }

    in_volumes = axes == 3
    return Workload(
        what,
        inputs,
        "deformable convolution",
        deform_conv3d if in_volumes else deform_conv2d,
        reference.deform_conv3d if in_volumes else reference.deform_conv2d,
        torch_rivals.none if in_volumes else torch_rivals.deformable,
        native=() if in_volumes else (FORWARD, BOTH),
    )


def _resampling(what: str, shape: tuple[int, ...]) -> Workload:
    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        size = (2, 7, 6, 3) if tiny else shape
        return {"image": normal(random, size), "offsets": between_pixels(normal(random, (*size, 2)))}

    return Workload(
        what,
        inputs,
        "resampling by offsets per channel",
        offset_resample,
        reference.offset_resample,
        torch_rivals.resampling,
        native=(FORWARD, BOTH),
    )


# Of an 800x1066 image at strides of 8, 16, 32 and 64 pixels.
DETR_LEVELS = ((100, 134), (50, 67), (25, 34), (13, 17))
TINY_LEVELS = ((5, 7), (3, 4))


def _attention(what: str) -> Workload:
    """Every pixel of every level asks, and looks around its own place in all of them."""

    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        levels = TINY_LEVELS if tiny else DETR_LEVELS
        heads, points, channels = (2, 3, 5) if tiny else (8, 4, 32)
        grids = [np.stack(np.meshgrid(*map(_centres, hw), indexing="ij"), axis=-1) for hw in levels]
        own = np.concatenate([grid.reshape(-1, 2) for grid in grids])
        shape = (1, len(own), heads, len(levels), points)
        sizes = np.array(levels, np.float32)[:, None]
        positions = own[:, None, None, None] * sizes - 0.5 + 2 * normal(random, (*shape, 2))
        weights = np.exp(normal(random, shape))
        return {
            "values": normal(random, (1, len(own), heads, channels)),
            "locations": ((between_pixels(positions) + 0.5) / sizes).astype(np.float32),
            "weights": weights / weights.sum(axis=(-2, -1), keepdims=True),
        }

    def attend(values: jax.Array, locations: jax.Array, weights: jax.Array) -> jax.Array:
        return deform_attention(values, locations, weights, level_shapes=_levels_of(values))

    def attend_plainly(values: jax.Array, locations: jax.Array, weights: jax.Array) -> jax.Array:
        return reference.deform_attention(values, locations, weights, level_shapes=_levels_of(values))

    def rivals(inputs: dict[str, np.ndarray], cotangent: np.ndarray | None) -> list[Contender]:
        return torch_rivals.attention(inputs, cotangent, level_shapes=_levels_of(inputs["values"]))

    return Workload(what, inputs, "deformable attention", attend, attend_plainly, rivals)


def _centres(size: int) -> np.ndarray:
    return (np.arange(size, dtype=np.float32) + 0.5) / size


def _levels_of(values: jax.Array | np.ndarray) -> LevelShapes:
    (levels,) = (
        levels
        for levels in (DETR_LEVELS, TINY_LEVELS)
        if sum(height * width for height, width in levels) == values.shape[1]
    )
    return levels


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers in float32."""
    return random.standard_normal(shape, dtype=np.float32)


def between_pixels(positions: np.ndarray) -> np.ndarray:
    """The nearest odd multiples of 1/64."""
    return (np.floor(positions * 32) + 0.5) / np.float32(32)


WORKLOADS = {
    "S1": _sampling(
        "`bilinear_sample` of (50, 64, 64, 1) to 32x32, rotated crops: a transformer on Moving MNIST",
        (50, 64, 64, 1), (32, 32), lambda *arguments: _rotations(*arguments, zoom=0.6),
    ),
    "S2": _sampling(
        "`bilinear_sample` of (16, 112, 112, 64) to the same size, small rotations: one on features",
        (16, 112, 112, 64), (112, 112), lambda *arguments: _rotations(*arguments, zoom=1.0),
    ),
    "S3": _sampling(
        "`bilinear_sample` of (8, 896, 896, 3) to 224x224, a window of that size: attention on a video frame",
        (8, 896, 896, 3), (224, 224), _windows,
    ),
    "S4": _bicubic(
        "`sample` of (16, 112, 112, 64) to the same size, bicubic with reflection, small rotations",
        (16, 112, 112, 64),
    ),
    "S5": _trilinear(
        "`sample` of (4, 16, 56, 56, 32) to the same size, trilinear, moved by 1 px: clips un-deformed",
        (4, 16, 56, 56, 32),
    ),
    "D1": _deformable(
        "`deform_conv2d` 3x3, (8, 56, 56, 64) to 64 channels, SAME, one offset group, offsets of 1 px",
        (8, 56, 56, 64), size=3, features=64,
    ),
    "D2": _deformable(
        "`deform_conv2d` 5x5, (32, 64, 64, 20) to 50 channels, SAME, one offset group, offsets of 1 px",
        (32, 64, 64, 20), size=5, features=50,
    ),
    "D3": _deformable(
        "`deform_conv3d` 3x3x3, (2, 8, 28, 28, 32) to 32 channels, SAME, one offset group, offsets of 1 px",
        (2, 8, 28, 28, 32), size=3, features=32,
    ),
    "R1": _resampling("`offset_resample` of (32, 64, 64, 20), offsets of 1 px", (32, 64, 64, 20)),
    "A1": _attention(
        "`deform_attention` of the four levels of an 800x1066 image, as many queries as pixels, 8 heads of "
        "32 channels, 4 points: the encoder of Deformable DETR",
    ),
}  # fmt: skip
