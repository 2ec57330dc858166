"""Images read on grids along their axes: at each of some rows, at each of some columns.

Equals `cells.sample` at all pairs of them. A TPU reads, and adds to, a whole row of a channel at one index:
there rows are read first, then columns of what was read. Other platforms take the pairs.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.cells import sample_at
from geoattn_jax.ops.checks import check_array, check_shape
from geoattn_jax.ops.crop import check_window
from geoattn_jax.ops.interpolation import Reading, neighbours_of
from geoattn_jax.ops.lookups import rows_of
from geoattn_jax.ops.padding import PaddingMode, ReflectAt
from geoattn_jax.ops.placement import divided_alike, reshape, varying_alike
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype, widen
from geoattn_jax.ops.sample import check_image
from geoattn_jax.ops.sizes import Size, surely_less


def separable_sample(
    image: Float[Array, "b h w c"],
    rows: Float[Array, "b ho"],
    columns: Float[Array, "b wo"],
    *,
    padding_mode: PaddingMode = "zeros",
    reflect_at: ReflectAt = "edge",
    top_left: Int[Array, "b 2"] | None = None,
    crop_hw: tuple[int, int] | None = None,
) -> Float[Array, "b ho wo c"]:
    """Reads `image` at every pair of a row and a column: by a theta without rotation and shear.

    Equals `sample` at the pairs, or `sample_crop` of a window, in values and gradients.

    Args:
      image: pixels, any float dtype.
      rows, columns: y and x of where to read, pixels; see `grid.axis_aligned_grid`.
      padding_mode, reflect_at: what lies outside, as in `sample`.
      top_left, crop_hw: the first pixel and the size of the window of each image that is read, as in
        `sample_crop`; None for the whole image.

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or the window is larger than the image;
      TypeError under forward-mode differentiation.
    """
    image, rows, columns = map(jnp.asarray, (image, rows, columns))
    check_image("separable_sample", image)
    hw = crop_hw or (image.shape[1], image.shape[2])
    if top_left is not None:
        top_left = jnp.asarray(top_left)
        check_window("separable_sample", image, top_left, hw)
    for name, axis in (("rows", rows), ("columns", columns)):
        own = "give every image of the batch its own, by a theta for each image"
        check_array("separable_sample", name, axis, "b n", own)
        check_shape(
            "separable_sample", name, axis, (image.shape[0], axis.shape[1]),
            because=f"({name} of each image of shape {image.shape})", remedy=own,
        )  # fmt: skip
    arguments = varying_alike(divided_alike((image, rows, columns, top_left)))
    return _sample((Reading(padding_mode=padding_mode, reflect_at=reflect_at), hw), *arguments)


def _forward(options, *arguments):
    return by_platform(partial(_scheduled, *options), *arguments)


def _backward(options, arguments, cotangent):
    return *by_platform(partial(_gradients, *options), *arguments, cotangent), None


def _gradients(reading, hw, schedule, image, rows, columns, top_left, cotangent):
    def samples(image, rows, columns):
        return _scheduled(reading, hw, schedule, image, rows, columns, top_left)

    return jax.vjp(samples, image, rows, columns)[1](cotangent)


_sample = with_backward_pass(_forward, _backward)


def _scheduled(
    reading: Reading,
    hw: tuple[Size, Size],
    schedule: Schedule,
    image: Float[Array, "b h w c"],
    rows: Float[Array, "b ho"],
    columns: Float[Array, "b wo"],
    top_left: Int[Array, "b 2"] | None,
) -> Float[Array, "b ho wo c"]:
    (b, height), width, channels = rows.shape, columns.shape[1], image.shape[-1]
    if schedule.reads_rows and surely_less(2 * channels * (height + width), height * width):  # fewer indices
        one = partial(_by_axes, reading=reading, hw=hw)
        return jax.vmap(one)(image, rows, columns, top_left).astype(image.dtype)
    pairs = jnp.stack(jnp.broadcast_arrays(rows[:, :, None], columns[:, None]), axis=-1)
    positions = reshape(pairs, (b, height * width, 2))
    samples = sample_at(image, positions, reading, top_left, hw, schedule)
    return reshape(samples, (b, height, width, channels))


def _by_axes(
    image: Float[Array, "h w c"],
    rows: Float[Array, " ho"],
    columns: Float[Array, " wo"],
    top_left: Int[Array, "2"] | None,
    *,
    reading: Reading,
    hw: tuple[Size, Size],
) -> Float[Array, "ho wo c"]:
    """Jaderberg et al. 2015, Eq. 5, whose sum over pixels is one over rows of one over columns."""
    top, left = (None, None) if top_left is None else top_left
    of_rows = _along_first(jnp.moveaxis(image, -1, 0), rows, top, hw[0], reading)
    samples = _along_first(of_rows.swapaxes(1, 2), columns, left, hw[1], reading)
    # Not before, lest a row's NaN get into the gradient of every column.
    samples = jnp.where(jnp.isnan(columns)[:, None] | jnp.isnan(rows), jnp.nan, samples)
    return samples.transpose(2, 1, 0)


def _along_first(
    planes: Float[Array, "c n m"],
    coordinate: Float[Array, " k"],
    start: Int[Array, ""] | None,
    size: Size,
    reading: Reading,
) -> Float[Array, "c k m"]:
    """Reads rows of every plane: both neighbours of all of them by one gather, for one scatter backward."""
    axis = neighbours_of(widen(coordinate), size, reading)
    pixels = jnp.stack(axis.pixels)
    if start is not None:
        pixels += start.astype(pixels.dtype)
    dtype = wide_dtype(planes, coordinate)
    neighbours = rows_of(planes, pixels, dtype)
    first, second = (
        weight.astype(dtype)[:, None] * jnp.where(reads[:, None], neighbour, 0)
        for weight, reads, neighbour in zip(axis.weights, axis.reads, neighbours, strict=True)
    )
    return first + second
