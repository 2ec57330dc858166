"""Reading images at real-valued positions, and its transposes: the sampler's schedule, forward and backward.

`reference.sample` is the same function without care for speed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax import native
from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.interpolation import Cells, Corner, Reading, cells_of
from geoattn_jax.ops.lookups import corners, image_of, index, pad_to, pixels_of, zeros_to_add_to
from geoattn_jax.ops.native_fit import fits
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, varying_alike
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype
from geoattn_jax.ops.sizes import Size, surely_less

# Each index is that of the first of several pixels in a row.
_RUNS = lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
)


def sample_at(
    image: Float[Array, "b *sizes c"],
    positions: Float[Array, "b n d"],
    reading: Reading,
    first: Int[Array, "b d"] | None = None,
    sizes: tuple[Size, ...] | None = None,
    schedule: Schedule | None = None,
) -> Float[Array, "b n c"]:
    """The samples, with a backward pass of their own.

    Args:
      image: pixels, of images or volumes.
      positions: where to read, pixels.
      reading: how.
      first, sizes: the window of each image that is read, its first pixel and its sizes; positions are then
        the window's. None for the whole image.
      schedule: where that is known already.
    """
    image, positions, first = varying_alike(divided_alike((image, positions, first)))
    return _sample((schedule, reading, sizes or image.shape[1:-1]), image, positions, first)


def _forward(options, image, positions, first):
    schedule, *others = options
    return by_platform(partial(samples_of, *others), image, positions, first, known=schedule)


def samples_of(reading, sizes, schedule, image, positions, first):
    """The samples, without derivatives of their own."""
    one = partial(_read, reading=reading, sizes=sizes, image_shape=image.shape[1:])
    samples = jax.vmap(one)(pixels_of(image, sizes, reading, schedule=schedule), positions, first)
    # Lest the samples' next shape be given to each corner of a cell, by a copy of it.
    return lax.optimization_barrier(samples) if schedule.takes_cells else samples


def _backward(options, arguments, cotangent):
    schedule, *others = options
    return *by_platform(partial(gradients_of, *others), *arguments, cotangent, known=schedule), None


def gradients_of(reading, sizes, schedule, image, positions, first, cotangent):
    """The gradients in image and positions."""
    if _fits(schedule, reading, image, positions, first):
        by_jax = partial(gradients_of, reading, sizes, schedule.without_native())
        return native.natively(
            partial(_native_gradients, reading),
            lambda image, positions, cotangent: by_jax(image, positions, None, cotangent),
            (jax.typeof(image), jax.typeof(positions)),
            image,
            positions,
            cotangent,
        )
    if not schedule.reads_once:
        # Else XLA merges these gathers with the forward ones, and neither loop stays fused.
        image, positions, first = lax.optimization_barrier((image, positions, first))
    pixels = pixels_of(image, sizes, reading, schedule=schedule)
    how = {"reading": reading, "sizes": sizes, "image_shape": image.shape[1:], "schedule": schedule}
    slope, spread = (jax.vmap(partial(function, **how)) for function in (_slope, _spread))

    def add_part(start: Int[Array, ""], size: Size, gradients):
        to_pixels, to_positions = gradients
        part, part_cotangent = (
            lax.dynamic_slice_in_dim(array, start, size, axis=1) for array in (positions, cotangent)
        )
        slopes = slope(pixels, part, first, part_cotangent).astype(positions.dtype)
        return (
            spread(to_pixels, part, first, part_cotangent),
            lax.dynamic_update_slice_in_dim(to_positions, slopes, start, axis=1),
        )

    dtype = wide_dtype(image, positions)
    to_pixels, to_positions = in_parts(
        add_part,
        (
            zeros_to_add_to(image, sizes, reading, dtype, schedule=schedule),
            jnp.zeros_like(positions),
        ),
        length=positions.shape[1],
        bytes_each=2 * image.shape[0] * image.shape[-1] * dtype.itemsize,
        part_bytes=schedule.part_bytes,
    )
    to_image = image_of(to_pixels, image.shape)
    if to_image.dtype != image.dtype:
        # Else XLA narrows numbers in the scatter's order on a TPU, where few channels fill few lanes.
        to_image = lax.optimization_barrier(to_image)
    return to_image.astype(image.dtype), to_positions


_sample = with_backward_pass(_forward, _backward)


def _fits(schedule, reading, image, positions, first) -> bool:
    """Whether there is a native kernel for the gradients. Samples are as fast without one."""
    bilinear = reading.method == "bilinear" and reading.padding_mode != "reflection"
    return bilinear and first is None and fits(schedule, image, positions)


def _native_gradients(reading, image, positions, cotangent):
    found = native.transpose(
        image,
        positions[:, :, None, None],
        None,
        cotangent[:, :, None],
        border=reading.padding_mode == "border",
    )
    return found.image, found.positions[:, :, 0, 0]


# What other operations are made of: samples with zeros outside, and its transposes, without derivatives of
# their own.


def read(
    pixels: Float[Array, "b *pixels k"],
    positions: Float[Array, "b n d"],
    *,
    image_shape: tuple[Size, ...],
) -> Float[Array, "b n c"]:
    """The samples."""
    one = partial(_read, reading=Reading(), sizes=image_shape[:-1], image_shape=image_shape)
    return jax.vmap(one)(pixels, positions, None)


def scatter(
    pixels: Float[Array, "b pixels k"],
    positions: Float[Array, "b n d"],
    values: Float[Array, "b n c"],
    *,
    image_shape: tuple[Size, ...],
    schedule: Schedule,
) -> Float[Array, "b pixels k"]:
    """Adds `values` to `pixels` at real-valued positions: the transpose of `read` in its pixels."""
    one = partial(
        _spread, reading=Reading(), sizes=image_shape[:-1], image_shape=image_shape, schedule=schedule
    )
    return jax.vmap(one)(pixels, positions, None, values)


def slope(
    pixels: Float[Array, "b *pixels k"],
    positions: Float[Array, "b n d"],
    cotangent: Float[Array, "b n c"],
    *,
    image_shape: tuple[Size, ...],
    schedule: Schedule,
) -> Float[Array, "b n d"]:
    """The gradient of `read` in its positions."""
    one = partial(
        _slope, reading=Reading(), sizes=image_shape[:-1], image_shape=image_shape, schedule=schedule
    )
    return jax.vmap(one)(pixels, positions, None, cotangent)


def _read(
    pixels: Float[Array, "*pixels k"],
    positions: Float[Array, "n d"],
    first: Int[Array, " d"] | None,
    *,
    reading: Reading,
    sizes: tuple[Size, ...],
    image_shape: tuple[Size, ...],
) -> Float[Array, "n c"]:
    """One image's samples, Jaderberg et al. 2015, Eq. 3 (Eq. 5 for bilinear interpolation)."""
    cells = cells_of(positions, sizes, reading)
    dtype = wide_dtype(pixels, positions)
    pixel_at = corners(pixels, cells, first, image_shape)
    total = jnp.zeros((), dtype)
    for corner in cells.corners:
        weight = cells.blend(corner).astype(dtype)[:, None]
        total += weight * cells.where_read(corner, pixel_at(corner)).astype(dtype)
    return total.astype(pixels.dtype)


def _slope(
    pixels: Float[Array, "*pixels k"],
    positions: Float[Array, "n d"],
    first: Int[Array, " d"] | None,
    cotangent: Float[Array, "n c"],
    *,
    reading: Reading,
    sizes: tuple[Size, ...],
    image_shape: tuple[Size, ...],
    schedule: Schedule,
) -> Float[Array, "n d"]:
    """One image's gradient in the positions, Jaderberg et al. 2015, Eq. 7, summed over channels."""
    cells = cells_of(positions, sizes, reading)
    dtype = wide_dtype(pixels, positions)
    pixel_at = corners(pixels, cells, first, image_shape)
    weighted_sum = _weighted_sums if schedule.sums_first else _sum_of_weighted
    return weighted_sum(cells, lambda corner: pixel_at(corner).astype(dtype), cotangent.astype(dtype))


def _weighted_sums(
    cells: Cells, pixel_at: Callable[[Corner], Float[Array, "n c"]], cotangent: Float[Array, "n c"]
) -> Float[Array, "n d"]:
    """Each corner is summed over channels, then weighted."""
    products = [cotangent * pixel_at(corner) for corner in cells.corners]
    gradient = [jnp.zeros((), cotangent.dtype)] * len(cells.axes)
    for corner, total in zip(cells.corners, _sums(products), strict=True):
        read = cells.where_read(corner, total[:, None])[:, 0]
        slopes = cells.slopes(corner, total.dtype)
        gradient = [so_far + slope * read for so_far, slope in zip(gradient, slopes, strict=True)]
    return jnp.stack(gradient, axis=-1)


def _sum_of_weighted(
    cells: Cells, pixel_at: Callable[[Corner], Float[Array, "n c"]], cotangent: Float[Array, "n c"]
) -> Float[Array, "n d"]:
    """Corners are weighted in each channel, then summed over channels."""
    zero = jnp.zeros((), cotangent.dtype)
    if cotangent.shape[-1] == 1 and len(cells.axes) == 2:  # both derivatives as two channels
        both = zero
        for corner in cells.corners:
            along_y, along_x = (slope[:, None] for slope in cells.slopes(corner, zero.dtype))
            both += _side_by_side(along_y, along_x) * cells.where_read(
                corner, jnp.tile(pixel_at(corner), (1, 2))
            )
        return cotangent * both
    gradient = [zero] * len(cells.axes)
    for corner in cells.corners:
        value = cells.where_read(corner, pixel_at(corner))
        slopes = cells.slopes(corner, zero.dtype)
        gradient = [so_far + slope[:, None] * value for so_far, slope in zip(gradient, slopes, strict=True)]
    return jnp.stack(_sums([cotangent * along for along in gradient]), axis=-1)


def _sums(arrays: Sequence[Float[Array, "n c"]]) -> Sequence[Float[Array, " n"]]:
    """Over channels, all in one reduction: each for itself would first be written to memory."""
    if arrays[0].shape[-1] == 1:
        return [array[:, 0] for array in arrays]

    def add(sums: Sequence[Array], more: Sequence[Array]) -> list[Array]:
        return [one + other for one, other in zip(sums, more, strict=True)]

    return lax.reduce(arrays, [jnp.zeros((), array.dtype) for array in arrays], add, dimensions=(1,))


def _spread(
    pixels: Float[Array, "pixels k"],
    positions: Float[Array, "n d"],
    first: Int[Array, " d"] | None,
    values: Float[Array, "n c"],
    *,
    reading: Reading,
    sizes: tuple[Size, ...],
    image_shape: tuple[Size, ...],
    schedule: Schedule,
) -> Float[Array, "pixels k"]:
    """Adds `values` to one image, Jaderberg et al. 2015, Eq. 6."""
    cells = cells_of(positions, sizes, reading)
    values = values.astype(pixels.dtype)

    def update(corner: Corner) -> Float[Array, "n c"]:
        weights = cells.weight(corner).astype(pixels.dtype)
        return cells.where_read(corner, weights[:, None] * values)

    def place(corner: Corner) -> Int[Array, " n"]:
        return index(cells, corner, image_shape[:-1], first)

    if pixels.shape[-1] != image_shape[-1]:  # packed
        weights, reads = (
            jnp.stack([of_corner(corner) for corner in cells.corners], axis=-1)[..., None]
            for of_corner in (cells.weight, cells.reads)
        )
        values = pad_to(values, pixels.shape[-1] // len(cells.corners))[:, None]
        updates = jnp.where(reads, weights.astype(pixels.dtype) * values, 0)
        updates = updates.reshape(updates.shape[0], pixels.shape[-1])
        return pixels.at[place(cells.corners[0])].add(updates, mode="promise_in_bounds")
    one_by_one = cells.corners
    in_pairs = reading.method == "bilinear" and surely_less(1, sizes[-1])  # a row may have a single pixel
    if schedule.scatters_runs and in_pairs:
        one_by_one = []
        for one, other in zip(cells.corners[::2], cells.corners[1::2], strict=True):
            runs = _side_by_side(*(update(corner)[:, None] for corner in (one, other)))
            pixels = lax.scatter_add(pixels, place(one)[:, None], runs, _RUNS, mode="promise_in_bounds")
    for corner in one_by_one:
        pixels = pixels.at[place(corner)].add(update(corner), mode="promise_in_bounds")
    return pixels


def _side_by_side(first: Float[Array, "n 1 *c"], second: Float[Array, "n 1 *c"]) -> Float[Array, "n 2 *c"]:
    """A select instead of a concatenation, which would write both to memory first."""
    is_first = jnp.arange(2) == 0
    return jnp.where(is_first.reshape(2, *[1] * (first.ndim - 2)), first, second)
