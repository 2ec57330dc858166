"""The pixels of images, as the cells of positions are looked up there and added to.

A cell's four pixels are looked up one by one, in a row of all pixels; or at once, as a patch of the image, or
as one pixel of a *packed* row, in which each is followed by those right of it, below it, and below that. They
are added to one by one, or at once in a packed row. What lies along the axes of an image is looked up, and
added to, by whole rows of a channel.
"""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.interpolation import Cells, Corner, Reading
from geoattn_jax.ops.placement import zeros
from geoattn_jax.ops.platforms import Schedule
from geoattn_jax.ops.sizes import Size, as_operand, is_number

_LANES = 128  # of a TPU's vectors
_PATCHES = lax.GatherDimensionNumbers(offset_dims=(1, 2, 3), collapsed_slice_dims=(), start_index_map=(0, 1))
# (dy, dx) of a cell's pixels, where an image is read bilinearly: such cells alone are looked up at once.
_CORNERS: tuple[Corner, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))


def pixels_of(
    image: Float[Array, "b *sizes c"],
    sizes: Sequence[Size],
    reading: Reading,
    *,
    schedule: Schedule,
) -> Float[Array, "b *pixels k"]:
    """The pixels of images, or of windows of these sizes in them, as `corners` looks them up.

    They are in a row, each of k = c values, or of more if they are packed: then those of the last row and
    column are no cell's first pixel, and followed by anything. For patches they are h x w.
    """
    c = image.shape[-1]
    row = image.reshape(image.shape[0], math.prod(image.shape[1:-1]), c)
    if not _takes_cells(image.shape[1:], sizes, reading, schedule):
        return row
    if len(_CORNERS) * c > _LANES:
        return image
    row, width = pad_to(row, _share(c)), image.shape[2]
    return jnp.concatenate([_moved(row, -(dy * width + dx)) for dy, dx in _CORNERS], axis=-1)


def zeros_to_add_to(
    image: Float[Array, "b *sizes c"],
    sizes: Sequence[Size],
    reading: Reading,
    dtype: DTypeLike,
    *,
    schedule: Schedule,
) -> Float[Array, "b pixels k"]:
    """Zeros for what is added to each pixel of images, or of windows in them; packed or not."""
    b, *image_sizes, c = image.shape
    packed = _takes_cells(image.shape[1:], sizes, reading, schedule) and c <= _LANES // 2
    width = len(_CORNERS) * _share(c) if packed else c
    return zeros((b, math.prod(image_sizes), width), dtype, beside=image)


def image_of(pixels: Float[Array, "b pixels k"], shape: tuple[Size, ...]) -> Float[Array, "b *sizes c"]:
    """What was added to such zeros, as images of this shape."""
    c = shape[-1]
    if pixels.shape[-1] != c:
        for way in (shape[2], 1):  # what was added to the pixels below, and then to those on the right
            half = pixels.shape[-1] // 2
            pixels = pixels[..., :half] + _moved(pixels, way, skip=half)
    return pixels[..., :c].reshape(shape)


def pad_to(values: Float[Array, "*n c"], size: int) -> Float[Array, "*n size"]:
    """The values, and zeros behind them."""
    widths = [(0, 0, 0)] * (values.ndim - 1) + [(0, size - values.shape[-1], 0)]
    return lax.pad(values, jnp.zeros((), values.dtype), widths)


def _takes_cells(
    image_shape: tuple[Size, ...], sizes: Sequence[Size], reading: Reading, schedule: Schedule
) -> bool:
    *image_sizes, c = image_shape
    flat = len(image_sizes) == 2 and reading.method == "bilinear"
    pays = len(_CORNERS) * c > _LANES // 2
    sides = (*image_sizes, *sizes)
    return schedule.takes_cells and flat and pays and is_number(*sides) and min(sides) > 1


def _share(channels: int) -> int:
    """The place that each corner of a packed cell takes, in whole vectors for all of them.

    If the last axis did not fill vectors XLA would make another one the last, and turn the array back and
    forth wherever cells are looked up or added to.
    """
    return _LANES // 4 if channels <= _LANES // 4 else _LANES // 2


def _moved(pixels: Float[Array, "b pixels k"], by: int, *, skip: int = 0) -> Float[Array, "b pixels c"]:
    """The values moved on by so many pixels, without the first of each; zeros take their places."""
    return lax.pad(pixels, jnp.zeros((), pixels.dtype), [(0, 0, 0), (by, -by, 0), (-skip, 0, 0)])


def corners(
    pixels: Float[Array, "*pixels k"],
    cells: Cells,
    first: Int[Array, " d"] | None,
    image_shape: tuple[Size, ...],
) -> Callable[[Corner], Float[Array, "n c"]]:
    """Looks up a corner of each cell, or anything where the cell has none.

    Args:
      pixels: one image's, from `pixels_of`.
      cells: of positions in the image, or in a window of it.
      first: the window's first pixel; None for the whole image.
      image_shape: the image's, its channels last.
    """
    *sizes, c = image_shape

    def single(corner: Corner) -> Float[Array, "n k"]:
        return pixels.at[index(cells, corner, sizes, first)].get(mode="promise_in_bounds")

    if pixels.ndim > 2:
        starts = jnp.stack(_in_image(cells, (0, 0), first), axis=-1)
        patches = lax.gather(pixels, starts, _PATCHES, (2, 2, c), mode="promise_in_bounds")
        return lambda corner: patches[:, *corner]
    if pixels.shape[-1] == c:
        return single
    packed = single((0, 0))
    places = {corner: place * _share(c) for place, corner in enumerate(_CORNERS)}
    return lambda corner: lax.slice_in_dim(packed, places[corner], places[corner] + c, axis=1)


def index(
    cells: Cells, corner: Corner, sizes: Sequence[Size], first: Int[Array, " d"] | None
) -> Int[Array, " n"]:
    """Where a corner of each cell lies among the pixels of an image of these sizes, row by row."""
    place, *others = _in_image(cells, corner, first)
    for size, other in zip(sizes[1:], others, strict=True):
        place = place * as_operand(size, place.dtype) + other
    return place


def _in_image(cells: Cells, corner: Corner, first: Int[Array, " d"] | None) -> list[Int[Array, " n"]]:
    places = [axis.pixels[step] for axis, step in zip(cells.axes, corner, strict=True)]
    if first is None:
        return places
    return [place + start.astype(place.dtype) for place, start in zip(places, first, strict=True)]


def rows_of(
    planes: Float[Array, "c n m"], rows: Int[Array, "s k"], dtype: DTypeLike
) -> Float[Array, "s c k m"]:
    """Rows of every plane, several series of them by one gather.

    Their gradients are added up by one scatter in `dtype`, and only then narrowed to that of the planes.
    """
    return _rows(dtype, planes, rows)


def _gather_rows(dtype, planes, rows):
    c, n, m = planes.shape
    found = planes.reshape(c * n, m).at[_in_a_row(planes, rows)].get(mode="promise_in_bounds")
    return found.reshape(rows.shape[0], c, rows.shape[1], m).astype(dtype)


def _add_rows(dtype, arguments, cotangent):
    planes, rows = arguments
    c, n, m = planes.shape
    total = jnp.zeros_like(planes, dtype, (c * n, m))
    total = total.at[_in_a_row(planes, rows)].add(cotangent.reshape(-1, m), mode="promise_in_bounds")
    return total.reshape(planes.shape).astype(planes.dtype), None


_rows = with_backward_pass(_gather_rows, _add_rows)


def _in_a_row(planes: Float[Array, "c n m"], rows: Int[Array, "s k"]) -> Int[Array, " sck"]:
    """Where rows lie in a row of those of all planes."""
    c, n, _ = planes.shape
    first = jnp.arange(c, dtype=rows.dtype)[:, None] * as_operand(n, rows.dtype)
    return (first + rows[:, None]).reshape(-1)
