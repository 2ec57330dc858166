"""The pixels of images, as the cells of positions are looked up there and added to.

A cell's four pixels are looked up one by one, in a row of all pixels; or at once, as a patch of the image, or
as one pixel of a *packed* row, in which each is followed by those right of it, below it, and below that. They
are added to one by one, or at once in a packed row. What lies along the axes of an image is looked up, and
added to, by whole rows of a channel.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.interpolation import CORNERS, Cells
from geoattn_jax.ops.placement import zeros
from geoattn_jax.ops.platforms import Schedule
from geoattn_jax.ops.sizes import Size, as_operand, is_number

_LANES = 128  # of a TPU's vectors
_PATCHES = lax.GatherDimensionNumbers(offset_dims=(1, 2, 3), collapsed_slice_dims=(), start_index_map=(0, 1))


def pixels_of(
    image: Float[Array, "b h w c"], hw: tuple[Size, Size] | None = None, *, schedule: Schedule
) -> Float[Array, "b *pixels k"]:
    """The pixels of images, or of windows of size `hw` in them, as `corners` looks them up.

    They are h * w in a row, each of k = c values, or of more if they are packed: then those of the last row
    and column are no cell's first pixel, and followed by anything. For patches they are h x w.
    """
    b, h, w, c = image.shape
    row = image.reshape(b, h * w, c)
    if not _takes_cells(image, hw, schedule):
        return row
    if len(CORNERS) * c > _LANES:
        return image
    row = pad_to(row, _share(c))
    return jnp.concatenate([_moved(row, -(dy * w + dx)) for dy, dx in CORNERS], axis=-1)


def zeros_to_add_to(
    image: Float[Array, "b h w c"], hw: tuple[Size, Size] | None, dtype: DTypeLike, *, schedule: Schedule
) -> Float[Array, "b pixels k"]:
    """Zeros for what is added to each pixel of images, or of windows in them; packed or not."""
    b, h, w, c = image.shape
    packed = _takes_cells(image, hw, schedule) and c <= _LANES // 2
    return zeros((b, h * w, len(CORNERS) * _share(c) if packed else c), dtype, beside=image)


def image_of(
    pixels: Float[Array, "b pixels k"], shape: tuple[Size, Size, Size, int]
) -> Float[Array, "b h w c"]:
    """What was added to such zeros, as images of this shape."""
    _, _, w, c = shape
    if pixels.shape[-1] != c:
        for way in (w, 1):  # what was added to the pixels below, and then to those on the right
            half = pixels.shape[-1] // 2
            pixels = pixels[..., :half] + _moved(pixels, way, skip=half)
    return pixels[..., :c].reshape(shape)


def pad_to(values: Float[Array, "*n c"], size: int) -> Float[Array, "*n size"]:
    """The values, and zeros behind them."""
    widths = [(0, 0, 0)] * (values.ndim - 1) + [(0, size - values.shape[-1], 0)]
    return lax.pad(values, jnp.zeros((), values.dtype), widths)


def _takes_cells(image: Float[Array, "b h w c"], hw: tuple[Size, Size] | None, schedule: Schedule) -> bool:
    _, h, w, c = image.shape
    sizes = (h, w, *(hw or ()))
    pays = len(CORNERS) * c > _LANES // 2
    return schedule.takes_cells and pays and is_number(*sizes) and min(sizes) > 1


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
    top_left: Int[Array, "2"] | None,
    image_shape: tuple[Size, Size, int],
) -> Callable[[int, int], Float[Array, "n c"]]:
    """Looks up corners (dy, dx) of each cell, or anything where the cell has none.

    Args:
      pixels: one image's, from `pixels_of`.
      cells: of positions in the image, or in a window of it.
      top_left: the window's first pixel; None for the whole image.
      image_shape: the image's.
    """
    _, row, c = image_shape

    def single(dy: int, dx: int) -> Float[Array, "n k"]:
        return pixels.at[index(cells, dy, dx, row, top_left)].get(mode="promise_in_bounds")

    if pixels.ndim > 2:
        first = jnp.stack(_in_image(cells, 0, 0, top_left), axis=-1)
        patches = lax.gather(pixels, first, _PATCHES, (2, 2, c), mode="promise_in_bounds")
        return lambda dy, dx: patches[:, dy, dx]
    if pixels.shape[-1] == c:
        return single
    packed = single(0, 0)
    starts = {corner: place * _share(c) for place, corner in enumerate(CORNERS)}
    return lambda dy, dx: lax.slice_in_dim(packed, starts[dy, dx], starts[dy, dx] + c, axis=1)


def index(cells: Cells, dy: int, dx: int, row: Size, top_left: Int[Array, "2"] | None) -> Int[Array, " n"]:
    """Where a corner of each cell lies among the pixels of an image, of which one row has `row`."""
    y, x = _in_image(cells, dy, dx, top_left)
    return y * as_operand(row, y.dtype) + x


def _in_image(
    cells: Cells, dy: int, dx: int, top_left: Int[Array, "2"] | None
) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    y, x = cells.y.pixels[dy], cells.x.pixels[dx]
    if top_left is None:
        return y, x
    return y + top_left[0].astype(y.dtype), x + top_left[1].astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def rows_of(
    planes: Float[Array, "c n m"], rows: Int[Array, "s k"], dtype: DTypeLike
) -> Float[Array, "s c k m"]:
    """Rows of every plane, several series of them by one gather.

    Their gradients are added up by one scatter in `dtype`, and only then narrowed to that of the planes.
    """
    c, n, m = planes.shape
    found = planes.reshape(c * n, m).at[_in_a_row(planes, rows)].get(mode="promise_in_bounds")
    return found.reshape(rows.shape[0], c, rows.shape[1], m).astype(dtype)


def _rows_with_residuals(planes, rows, dtype):
    return rows_of(planes, rows, dtype), (planes, rows)


def _rows_backward(dtype, residuals, cotangent):
    planes, rows = residuals
    c, n, m = planes.shape
    total = jnp.zeros_like(planes, dtype, (c * n, m))
    total = total.at[_in_a_row(planes, rows)].add(cotangent.reshape(-1, m), mode="promise_in_bounds")
    return total.reshape(planes.shape).astype(planes.dtype), None


rows_of.defvjp(_rows_with_residuals, _rows_backward)


def _in_a_row(planes: Float[Array, "c n m"], rows: Int[Array, "s k"]) -> Int[Array, " sck"]:
    """Where rows lie in a row of those of all planes."""
    c, n, _ = planes.shape
    first = jnp.arange(c, dtype=rows.dtype)[:, None] * as_operand(n, rows.dtype)
    return (first + rows[:, None]).reshape(-1)
