"""Reading images at real-valued positions, and its transposes: the sampler's schedule, forward and backward.

`reference.bilinear_sample` is the same function without care for speed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.interpolation import CORNERS, Cells, cells_of, hat
from geoattn_jax.ops.lookups import corners, image_of, index, pad_to, pixels_of, zeros_to_add_to
from geoattn_jax.ops.padding import PaddingMode
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, varying_alike
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype
from geoattn_jax.ops.sizes import Size, surely_less

# Each index is that of the first of several pixels in a row.
_RUNS = lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
)


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
    samples = jax.vmap(one)(pixels_of(image, hw, schedule=schedule), positions, top_left)
    # Lest the samples' next shape be given to each corner of a cell, by a copy of it.
    return lax.optimization_barrier(samples) if schedule.takes_cells else samples


def _forward_with_residuals(image, positions, top_left, padding_mode, hw):
    return _forward(image, positions, top_left, padding_mode, hw), (image, positions, top_left)


def _backward(padding_mode, hw, residuals, cotangent):
    gradients = by_platform(partial(_gradients, padding_mode, hw), *residuals, cotangent)
    return *gradients, None


def _gradients(padding_mode, hw, schedule, image, positions, top_left, cotangent):
    if not schedule.reads_once:
        # Else XLA merges these gathers with the forward ones, and neither loop stays fused.
        image, positions, top_left = lax.optimization_barrier((image, positions, top_left))
    pixels = pixels_of(image, hw, schedule=schedule)
    how = {"padding_mode": padding_mode, "hw": hw, "image_shape": image.shape[1:], "schedule": schedule}
    slope, spread = (jax.vmap(partial(function, **how)) for function in (_slope, _spread))

    def add_part(start: Int[Array, ""], size: Size, gradients):
        to_pixels, to_positions = gradients
        part, part_cotangent = (
            lax.dynamic_slice_in_dim(array, start, size, axis=1) for array in (positions, cotangent)
        )
        slopes = slope(pixels, part, top_left, part_cotangent).astype(positions.dtype)
        return (
            spread(to_pixels, part, top_left, part_cotangent),
            lax.dynamic_update_slice_in_dim(to_positions, slopes, start, axis=1),
        )

    dtype = wide_dtype(image, positions)
    to_pixels, to_positions = in_parts(
        add_part,
        (zeros_to_add_to(image, hw, dtype, schedule=schedule), jnp.zeros_like(positions)),
        length=positions.shape[1],
        bytes_each=2 * image.shape[0] * image.shape[-1] * dtype.itemsize,
        part_bytes=schedule.part_bytes,
    )
    to_image = image_of(to_pixels, image.shape)
    if to_image.dtype != image.dtype:
        # Else XLA narrows numbers in the scatter's order on a TPU, where few channels fill few lanes.
        to_image = lax.optimization_barrier(to_image)
    return to_image.astype(image.dtype), to_positions


_sample = jax.custom_vjp(_forward, nondiff_argnums=(3, 4))
_sample.defvjp(_forward_with_residuals, _backward)


def read(
    pixels: Float[Array, "b *pixels k"],
    positions: Float[Array, "b n 2"],
    *,
    image_shape: tuple[Size, Size, int],
) -> Float[Array, "b n c"]:
    """The samples with zeros outside, without a backward pass of their own."""
    one = partial(_read, padding_mode="zeros", hw=image_shape[:2], image_shape=image_shape)
    return jax.vmap(one)(pixels, positions, None)


def scatter(
    pixels: Float[Array, "b pixels k"],
    positions: Float[Array, "b n 2"],
    values: Float[Array, "b n c"],
    *,
    image_shape: tuple[Size, Size, int],
    schedule: Schedule,
) -> Float[Array, "b pixels k"]:
    """Adds `values` to `pixels` at real-valued positions: the transpose of `read` in its pixels."""
    one = partial(
        _spread, padding_mode="zeros", hw=image_shape[:2], image_shape=image_shape, schedule=schedule
    )
    return jax.vmap(one)(pixels, positions, None, values)


def slope(
    pixels: Float[Array, "b *pixels k"],
    positions: Float[Array, "b n 2"],
    cotangent: Float[Array, "b n c"],
    *,
    image_shape: tuple[Size, Size, int],
    schedule: Schedule,
) -> Float[Array, "b n 2"]:
    """The gradient of `read` in its positions."""
    one = partial(
        _slope, padding_mode="zeros", hw=image_shape[:2], image_shape=image_shape, schedule=schedule
    )
    return jax.vmap(one)(pixels, positions, None, cotangent)


def _read(
    pixels: Float[Array, "*pixels k"],
    positions: Float[Array, "n 2"],
    top_left: Int[Array, "2"] | None,
    *,
    padding_mode: PaddingMode,
    hw: tuple[Size, Size],
    image_shape: tuple[Size, Size, int],
) -> Float[Array, "n c"]:
    """One image's samples, Jaderberg et al. 2015, Eq. 5."""
    cells = cells_of(positions, hw, padding_mode)
    y, x = cells
    dtype = wide_dtype(pixels, positions)
    corner = corners(pixels, cells, top_left, image_shape)
    total = jnp.zeros((), dtype)
    for dy, dx in CORNERS:
        # Unlike `weights` these are NaN where a coordinate is.
        weight_y, weight_x = (hat(axis.distances[step]) for axis, step in ((y, dy), (x, dx)))
        weight = (weight_y * weight_x).astype(dtype)[:, None]
        total += weight * cells.where_read(dy, dx, corner(dy, dx)).astype(dtype)
    return total.astype(pixels.dtype)


def _slope(
    pixels: Float[Array, "*pixels k"],
    positions: Float[Array, "n 2"],
    top_left: Int[Array, "2"] | None,
    cotangent: Float[Array, "n c"],
    *,
    padding_mode: PaddingMode,
    hw: tuple[Size, Size],
    image_shape: tuple[Size, Size, int],
    schedule: Schedule,
) -> Float[Array, "n 2"]:
    """One image's gradient in the positions, Jaderberg et al. 2015, Eq. 7, summed over channels."""
    cells = cells_of(positions, hw, padding_mode)
    dtype = wide_dtype(pixels, positions)
    corner = corners(pixels, cells, top_left, image_shape)
    weighted_sum = _weighted_sums if schedule.sums_first else _sum_of_weighted
    return weighted_sum(cells, lambda dy, dx: corner(dy, dx).astype(dtype), cotangent.astype(dtype))


def _weighted_sums(
    cells: Cells, corner: Callable[[int, int], Float[Array, "n c"]], cotangent: Float[Array, "n c"]
) -> Float[Array, "n 2"]:
    """Each corner is summed over channels, then weighted."""
    products = [cotangent * corner(dy, dx) for dy, dx in CORNERS]
    to_y = to_x = jnp.zeros((), cotangent.dtype)
    for (dy, dx), total in zip(CORNERS, _sums(products), strict=True):
        read = cells.where_read(dy, dx, total[:, None])[:, 0]
        along_y, along_x = cells.slopes(dy, dx, total.dtype)
        to_y, to_x = to_y + along_y * read, to_x + along_x * read
    return jnp.stack([to_y, to_x], axis=-1)


def _sum_of_weighted(
    cells: Cells, corner: Callable[[int, int], Float[Array, "n c"]], cotangent: Float[Array, "n c"]
) -> Float[Array, "n 2"]:
    """Corners are weighted in each channel, then summed over channels."""
    zero = jnp.zeros((), cotangent.dtype)
    if cotangent.shape[-1] == 1:  # both derivatives as two channels
        gradient = zero
        for dy, dx in CORNERS:
            along_y, along_x = (along[:, None] for along in cells.slopes(dy, dx, zero.dtype))
            both = cells.where_read(dy, dx, jnp.tile(corner(dy, dx), (1, 2)))
            gradient += _side_by_side(along_y, along_x) * both
        return cotangent * gradient
    to_y = to_x = zero
    for dy, dx in CORNERS:
        along_y, along_x = (along[:, None] for along in cells.slopes(dy, dx, zero.dtype))
        value = cells.where_read(dy, dx, corner(dy, dx))
        to_y, to_x = to_y + along_y * value, to_x + along_x * value
    return jnp.stack(_sums([cotangent * to_y, cotangent * to_x]), axis=-1)


def _sums(arrays: Sequence[Float[Array, "n c"]]) -> Sequence[Float[Array, " n"]]:
    """Over channels, all in one reduction: each for itself would first be written to memory."""
    if arrays[0].shape[-1] == 1:
        return [array[:, 0] for array in arrays]

    def add(sums: Sequence[Array], more: Sequence[Array]) -> list[Array]:
        return [one + other for one, other in zip(sums, more, strict=True)]

    return lax.reduce(arrays, [jnp.zeros((), array.dtype) for array in arrays], add, dimensions=(1,))


def _spread(
    pixels: Float[Array, "pixels k"],
    positions: Float[Array, "n 2"],
    top_left: Int[Array, "2"] | None,
    values: Float[Array, "n c"],
    *,
    padding_mode: PaddingMode,
    hw: tuple[Size, Size],
    image_shape: tuple[Size, Size, int],
    schedule: Schedule,
) -> Float[Array, "pixels k"]:
    """Adds `values` to one image, Jaderberg et al. 2015, Eq. 6."""
    cells = cells_of(positions, hw, padding_mode)
    y, x = cells
    values = values.astype(pixels.dtype)

    def update(dy: int, dx: int) -> Float[Array, "n c"]:
        weights = (y.weights[dy] * x.weights[dx]).astype(pixels.dtype)
        return cells.where_read(dy, dx, weights[:, None] * values)

    def place(dy: int, dx: int) -> Int[Array, " n"]:
        return index(cells, dy, dx, image_shape[1], top_left)

    if pixels.shape[-1] != image_shape[-1]:  # packed
        weights, reads = (
            jnp.stack([along_y[dy] * along_x[dx] for dy, dx in CORNERS], axis=-1)[..., None]
            for along_y, along_x in ((y.weights, x.weights), (y.reads, x.reads))
        )
        values = pad_to(values, pixels.shape[-1] // len(CORNERS))[:, None]
        updates = jnp.where(reads, weights.astype(pixels.dtype) * values, 0)
        updates = updates.reshape(updates.shape[0], pixels.shape[-1])
        return pixels.at[place(0, 0)].add(updates, mode="promise_in_bounds")
    if schedule.scatters_runs and surely_less(1, hw[1]):  # a row may have a single pixel
        for dy in (0, 1):
            runs = _side_by_side(*(update(dy, dx)[:, None] for dx in (0, 1)))
            pixels = lax.scatter_add(pixels, place(dy, 0)[:, None], runs, _RUNS, mode="promise_in_bounds")
        return pixels
    for dy, dx in CORNERS:
        pixels = pixels.at[place(dy, dx)].add(update(dy, dx), mode="promise_in_bounds")
    return pixels


def _side_by_side(first: Float[Array, "n 1 *c"], second: Float[Array, "n 1 *c"]) -> Float[Array, "n 2 *c"]:
    """A select instead of a concatenation, which would write both to memory first."""
    is_first = jnp.arange(2) == 0
    return jnp.where(is_first.reshape(2, *[1] * (first.ndim - 2)), first, second)
