"""Reading images at real-valued positions, and its transposes: the sampler's schedule, forward and backward.

A position is read from its *cell*, the (at most four) pixels less than a pixel away from it, and the pixel
behind it where it lies on a pixel exactly. The pixels that are looked up are always inside the image: where
the image ends, `reads` says which of them are no part of the cell. These count as zeros, whatever their
value: a weight of zero would not do, as zero times NaN is NaN.
`reference.bilinear_sample` is the same function without care for speed.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, varying_alike
from geoattn_jax.ops.schedules import Schedule, by_platform
from geoattn_jax.ops.sizes import Size, as_operand, is_number, larger, surely_less

PaddingMode = Literal["zeros", "border"]
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_MANY_CHANNELS = 8  # fill a vector of the processor
_LANES = 128  # of a TPU's vectors
# Each index is that of the first of several pixels in a row.
_RUNS = lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
)


def wide_dtype(*arrays: jax.Array) -> jnp.dtype:
    """The dtype for arithmetic on the arrays: the widest of theirs, and at least float32."""
    return max((jnp.dtype(jnp.float32), *(array.dtype for array in arrays)), key=lambda dtype: dtype.itemsize)


def widen(array: jax.Array) -> jax.Array:
    """The array in float32 or wider."""
    return array.astype(wide_dtype(array))


def sample(
    image: Float[Array, "b h w c"],
    positions: Float[Array, "b n 2"],
    padding_mode: PaddingMode,
    top_left: Int[Array, "b 2"] | None = None,
    hw: tuple[Size, Size] | None = None,
) -> Float[Array, "b n c"]:
    """The samples, with a backward pass of their own.

    Args:
      image: pixels.
      positions: where to read, pixels.
      padding_mode: what lies outside.
      top_left, hw: the window of each image that is read, its first pixel and its size; positions are then
        the window's. None for the whole image.
    """
    image, positions, top_left = varying_alike(divided_alike((image, positions, top_left)))
    return _sample(image, positions, top_left, padding_mode, hw or image.shape[1:3])


def _forward(image, positions, top_left, padding_mode, hw):
    return by_platform(partial(_samples, padding_mode, hw), image, positions, top_left)


def _samples(padding_mode, hw, schedule, image, positions, top_left):
    one = partial(_read, padding_mode=padding_mode, hw=hw, image_shape=image.shape[1:])
    return jax.vmap(one)(pixels_of(image, hw, schedule=schedule), positions, top_left)


def _forward_with_residuals(image, positions, top_left, padding_mode, hw):
    return _forward(image, positions, top_left, padding_mode, hw), (image, positions, top_left)


def _backward(padding_mode, hw, residuals, cotangent):
    gradients = by_platform(partial(_gradients, padding_mode, hw), *residuals, cotangent)
    return *gradients, None


def _gradients(padding_mode, hw, schedule, image, positions, top_left, cotangent):
    # Without the barrier XLA merges these gathers with the forward ones, and neither loop stays fused.
    image, positions, top_left = lax.optimization_barrier((image, positions, top_left))
    pixels = pixels_of(image, hw, schedule=schedule)
    slope = jax.vmap(partial(_slope, padding_mode=padding_mode, hw=hw, image_shape=image.shape[1:]))
    spread = jax.vmap(
        partial(_spread, padding_mode=padding_mode, hw=hw, row=image.shape[2], schedule=schedule)
    )

    def add_part(start: Int[Array, ""], size: Size, gradients):
        to_image, to_positions = gradients
        part, part_cotangent = (
            lax.dynamic_slice_in_dim(array, start, size, axis=1) for array in (positions, cotangent)
        )
        slopes = slope(pixels, part, top_left, part_cotangent).astype(positions.dtype)
        return (
            spread(to_image, part, top_left, part_cotangent),
            lax.dynamic_update_slice_in_dim(to_positions, slopes, start, axis=1),
        )

    (b, h, w, c), n = image.shape, positions.shape[1]
    dtype = wide_dtype(image, positions)
    gradients = jnp.zeros_like(image.reshape(b, h * w, c), dtype), jnp.zeros_like(positions)
    to_image, to_positions = in_parts(
        add_part,
        gradients,
        length=n,
        bytes_each=2 * b * c * dtype.itemsize,
        part_bytes=schedule.part_bytes,
    )
    return to_image.reshape(image.shape).astype(image.dtype), to_positions


_sample = jax.custom_vjp(_forward, nondiff_argnums=(3, 4))
_sample.defvjp(_forward_with_residuals, _backward)


def pixels_of(
    image: Float[Array, "b h w c"], hw: tuple[Size, Size] | None = None, *, schedule: Schedule
) -> Float[Array, "b hw k"]:
    """The pixels of images, or of windows of size `hw` in them, as `read` and `slope` look them up.

    k is c; or 4 c where cells are packed: then each pixel is followed by those right of it, below it, and
    below that. Those of the last row and column are no cell's first pixel, and followed by anything.
    """
    b, h, w, c = image.shape
    pixels = image.reshape(b, h * w, c)
    sizes = (h, w, *(hw or ()))
    fills_lanes = _LANES // 2 < len(_CORNERS) * c <= _LANES
    if not (schedule.packs_cells and fills_lanes and is_number(*sizes) and min(sizes) > 1):
        return pixels
    return jnp.concatenate([_moved(pixels, -(dy * w + dx)) for dy, dx in _CORNERS], axis=-1)


def _moved(pixels: Float[Array, "b hw c"], by: int) -> Float[Array, "b hw c"]:
    """The values moved on by so many pixels; zeros take their places."""
    return lax.pad(pixels, jnp.zeros((), pixels.dtype), [(0, 0, 0), (by, -by, 0), (0, 0, 0)])


def read(
    pixels: Float[Array, "b hw k"], positions: Float[Array, "b n 2"], *, image_shape: tuple[Size, Size, int]
) -> Float[Array, "b n c"]:
    """The samples with zeros outside, without a backward pass of their own."""
    one = partial(_read, padding_mode="zeros", hw=image_shape[:2], image_shape=image_shape)
    return jax.vmap(one)(pixels, positions, None)


def scatter(
    image: Float[Array, "b h w c"],
    positions: Float[Array, "b n 2"],
    values: Float[Array, "b n c"],
    *,
    schedule: Schedule,
) -> Float[Array, "b h w c"]:
    """Adds `values` to `image` at real-valued positions: the transpose of `read` in its image."""
    b, h, w, c = image.shape
    spread = jax.vmap(partial(_spread, padding_mode="zeros", hw=(h, w), row=w, schedule=schedule))
    return spread(image.reshape(b, h * w, c), positions, None, values).reshape(image.shape)


def slope(
    pixels: Float[Array, "b hw k"],
    positions: Float[Array, "b n 2"],
    cotangent: Float[Array, "b n c"],
    *,
    image_shape: tuple[Size, Size, int],
) -> Float[Array, "b n 2"]:
    """The gradient of `read` in its positions."""
    one = partial(_slope, padding_mode="zeros", hw=image_shape[:2], image_shape=image_shape)
    return jax.vmap(one)(pixels, positions, None, cotangent)


class _Axis(NamedTuple):
    """Along one axis, the two neighbouring pixels that are looked up for a coordinate, in this order.

    The cell of a NaN coordinate is empty.
    """

    pixels: list[Int[Array, " n"]]  # their indices
    distances: list[Float[Array, " n"]]  # from them to the coordinate, NaN if that is
    reads: list[Bool[Array, " n"]]  # whether they belong to the coordinate's cell
    weights: list[Float[Array, " n"]]
    slopes: list[Float[Array, " n"]]  # derivatives of the weights


def _neighbours(coordinate: Float[Array, " n"], size: Size, padding_mode: PaddingMode) -> _Axis:
    coordinate = widen(coordinate)
    dtype = coordinate.dtype
    moves = True
    if padding_mode == "border":
        last = as_operand(size - 1, dtype)
        moves = (coordinate >= 0) & (coordinate < last)
        coordinate = jnp.clip(coordinate, 0, last)
    # Bounded before it becomes an integer; a NaN compares false.
    last_but_one = as_operand(larger(size - 2, 0), dtype)
    first = jnp.where(coordinate > 0, jnp.minimum(jnp.floor(coordinate), last_but_one), 0)
    distances = [coordinate - first, coordinate - first - 1]
    pixels = [first.astype(jnp.int32), first.astype(jnp.int32) + 1]
    reads = [(distance >= -1) & (distance < 1) for distance in distances]
    if not surely_less(1, size):  # a lone pixel has no neighbour
        pixels[1] = jnp.minimum(pixels[1], as_operand(size - 1, jnp.int32))
        reads[1] &= as_operand(size, jnp.int32) > 1
    pairs = list(zip(distances, reads, strict=True))
    return _Axis(
        pixels,
        distances,
        reads,
        weights=[jnp.where(near, 1 - jnp.abs(distance), 0) for distance, near in pairs],
        slopes=[
            jnp.where(moves & near, jnp.where(distance < 0, 1, -1), 0).astype(dtype)
            for distance, near in pairs
        ],
    )


def _cell(positions, hw, padding_mode) -> tuple[_Axis, _Axis]:
    y, x = (_neighbours(positions[:, axis], hw[axis], padding_mode) for axis in (0, 1))
    return y, x


def _read(
    pixels: Float[Array, "hw k"],
    positions: Float[Array, "n 2"],
    top_left: Int[Array, "2"] | None,
    *,
    padding_mode: PaddingMode,
    hw: tuple[Size, Size],
    image_shape: tuple[Size, Size, int],
) -> Float[Array, "n c"]:
    """One image's samples, Jaderberg et al. 2015, Eq. 5."""
    y, x = _cell(positions, hw, padding_mode)
    dtype = wide_dtype(pixels, positions)
    corner = _corners(pixels, y, x, top_left, image_shape[1], image_shape[2])
    total = jnp.zeros((), dtype)
    for dy, dx in _CORNERS:
        # Unlike `weights` these are NaN where a coordinate is.
        weight_y, weight_x = (
            jnp.maximum(1 - jnp.abs(axis.distances[step]), 0) for axis, step in ((y, dy), (x, dx))
        )
        weight = (weight_y * weight_x).astype(dtype)[:, None]
        total += weight * _where(_is_read(y, x, dy, dx), corner(dy, dx)).astype(dtype)
    return total.astype(pixels.dtype)


def _slope(
    pixels: Float[Array, "hw k"],
    positions: Float[Array, "n 2"],
    top_left: Int[Array, "2"] | None,
    cotangent: Float[Array, "n c"],
    *,
    padding_mode: PaddingMode,
    hw: tuple[Size, Size],
    image_shape: tuple[Size, Size, int],
) -> Float[Array, "n 2"]:
    """One image's gradient in the positions, Jaderberg et al. 2015, Eq. 7, summed over channels."""
    y, x = _cell(positions, hw, padding_mode)
    dtype = wide_dtype(pixels, positions)
    corner = _corners(pixels, y, x, top_left, image_shape[1], image_shape[2])
    if image_shape[-1] == 1:
        # Both derivatives as two channels, for the sake of `_where`.
        along = jnp.zeros((), dtype)
        for dy, dx in _CORNERS:
            weights = _side_by_side(
                (y.slopes[dy] * x.weights[dx])[:, None], (y.weights[dy] * x.slopes[dx])[:, None]
            )
            value = _where(_is_read(y, x, dy, dx), jnp.tile(corner(dy, dx), (1, 2)))
            along += weights.astype(dtype) * value.astype(dtype)
        return cotangent.astype(dtype) * along
    along_y = along_x = jnp.zeros((), dtype)
    for dy, dx in _CORNERS:
        value = _where(_is_read(y, x, dy, dx), corner(dy, dx)).astype(dtype)
        along_y += (y.slopes[dy] * x.weights[dx]).astype(dtype)[:, None] * value
        along_x += (y.weights[dy] * x.slopes[dx]).astype(dtype)[:, None] * value
    to_y, to_x = (cotangent.astype(dtype) * along for along in (along_y, along_x))
    # One reduction for both sums: a concatenation would write both halves to memory first.
    zero = jnp.zeros((), dtype)
    sums = lax.reduce((to_y, to_x), (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), dimensions=(1,))
    return jnp.stack(sums, axis=-1)


def _spread(
    pixels: Float[Array, "hw c"],
    positions: Float[Array, "n 2"],
    top_left: Int[Array, "2"] | None,
    values: Float[Array, "n c"],
    *,
    padding_mode: PaddingMode,
    hw: tuple[Size, Size],
    row: Size,
    schedule: Schedule,
) -> Float[Array, "hw c"]:
    """Adds `values` to one image, its rows of `row` pixels, Jaderberg et al. 2015, Eq. 6."""
    y, x = _cell(positions, hw, padding_mode)
    values = values.astype(pixels.dtype)

    def update(dy: int, dx: int) -> Float[Array, "n c"]:
        weights = (y.weights[dy] * x.weights[dx]).astype(pixels.dtype)
        return _where(_is_read(y, x, dy, dx), weights[:, None] * values)

    for dy in (0, 1):
        left, right = (update(dy, dx) for dx in (0, 1))
        first, second = (_index(y.pixels[dy], x.pixels[dx], row, top_left) for dx in (0, 1))
        if schedule.scatters_runs and surely_less(1, hw[1]):  # a row may have a single pixel
            runs = _side_by_side(left[:, None], right[:, None])
            pixels = lax.scatter_add(pixels, first[:, None], runs, _RUNS, mode="promise_in_bounds")
        else:
            pixels = pixels.at[first].add(left, mode="promise_in_bounds")
            pixels = pixels.at[second].add(right, mode="promise_in_bounds")
    return pixels


def _side_by_side(first: Float[Array, "n 1 *c"], second: Float[Array, "n 1 *c"]) -> Float[Array, "n 2 *c"]:
    """A select instead of a concatenation, which would write both to memory first."""
    is_first = jnp.arange(2) == 0
    return jnp.where(is_first.reshape(2, *[1] * (first.ndim - 2)), first, second)


def _corners(
    pixels: Float[Array, "hw k"],
    y: _Axis,
    x: _Axis,
    top_left: Int[Array, "2"] | None,
    row: Size,
    channels: int,
) -> Callable[[int, int], Float[Array, "n c"]]:
    """Looks up corners (dy, dx) of each cell, or anything where the cell has none."""
    if pixels.shape[-1] == channels:

        def corner(dy: int, dx: int) -> Float[Array, "n c"]:
            index = _index(y.pixels[dy], x.pixels[dx], row, top_left)
            return pixels.at[index].get(mode="promise_in_bounds")

    else:
        cells = pixels.at[_index(y.pixels[0], x.pixels[0], row, top_left)].get(mode="promise_in_bounds")

        def corner(dy: int, dx: int) -> Float[Array, "n c"]:
            return lax.slice_in_dim(cells, (2 * dy + dx) * channels, (2 * dy + dx + 1) * channels, axis=1)

    return corner


def _is_read(y: _Axis, x: _Axis, dy: int, dx: int) -> Bool[Array, "n 1"]:
    return (y.reads[dy] & x.reads[dx])[:, None]


def _index(
    y: Int[Array, " n"], x: Int[Array, " n"], row: Size, top_left: Int[Array, "2"] | None
) -> Int[Array, " n"]:
    if top_left is not None:
        y, x = y + top_left[0].astype(y.dtype), x + top_left[1].astype(x.dtype)
    return y * as_operand(row, y.dtype) + x


def _where(keep: Bool[Array, "*n 1"], values: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """`values` where `keep`, else zeros."""
    channels = values.shape[-1]
    if channels >= _MANY_CHANNELS:
        return jnp.where(keep, values, 0)
    # XLA on a CPU makes a branch of a condition that all channels share. It then vectorizes over positions no
    # more, which it does where channels are few. So let each channel compare for itself.
    return jnp.where(jnp.arange(channels) < jnp.where(keep, channels, 0), values, 0)
