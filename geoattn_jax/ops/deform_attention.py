"""Multi-scale deformable attention: each query reads a few points of every level, and weighs them.

One loop over parts of the queries, forward and backward: sample each level where the queries look, weigh,
add. The samples of all queries are never side by side.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.cells import read, scatter, slope
from geoattn_jax.ops.checks import check_array, check_shape
from geoattn_jax.ops.interpolation import Reading
from geoattn_jax.ops.lookups import image_of, pixels_of, zeros_to_add_to
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, reshape, varying_alike, zeros
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype, widen
from geoattn_jax.ops.sizes import Size, is_size, surely_less

LevelShapes = tuple[tuple[Size, Size], ...]


def deform_attention(
    values: Float[Array, "b pixels heads c"],
    locations: Float[Array, "b queries heads levels points 2"],
    weights: Float[Array, "b queries heads levels points"],
    *,
    level_shapes: Sequence[tuple[int, int]],
) -> Float[Array, "b queries heads_c"]:
    """Weighted sums of what each query reads at a few points of every level of a feature pyramid.

    Zhu et al. 2021 (Deformable DETR), Eq. 3, without its projections W_m and W'_m; with one level Eq. 2:
    y(q) = sum_l sum_k A_lqk x_l(p_lqk) for each head. The weights are used as they are given; in the paper
    they are a softmax over levels and points together. Differentiable in every array, in forward and in
    reverse mode, to any order.

    Convention: locations are (y, x), y down, from 0 at the outer edge of a level's first pixel to 1 at that
    of its last: a location is at pixel location * size - 0.5, as with `align_corners=False`. Outside a level
    zeros are read. At the centre of a pixel the derivative is the right-hand one. A NaN location makes its
    output NaN, and such an output passes no gradient.

    Args:
      values: the levels' pixels, one level after the other, each in row-major order; any float dtype.
      locations: where each query and head reads each level, as fractions of its height and width; any float
        dtype.
      weights: the weight of each of these points; any float dtype.
      level_shapes: height and width of each level, pixels.

    Returns: for each query the heads' sums one after the other, in values' dtype.
    Raises: ValueError if a rank, dtype or size does not fit the others.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import deform_attention
      >>> values = jnp.array([0.0, 1.0, 2.0, 3.0, 10.0]).reshape(1, 5, 1, 1)
      >>> level_shapes = ((1, 4), (1, 1))  # a row of four pixels, and a single pixel
      >>> locations = jnp.full((1, 1, 1, 2, 1, 2), 0.5)  # one query, one head: the middle of both levels
      >>> weights = jnp.array([0.8, 0.2]).reshape(1, 1, 1, 2, 1)
      >>> deform_attention(values, locations, weights, level_shapes=level_shapes).round(4).tolist()
      [[[3.2]]]
    """
    values, locations, weights = (jnp.asarray(array) for array in (values, locations, weights))
    levels = _checked(values, locations, weights, level_shapes)
    values, locations, weights = varying_alike(divided_alike((values, locations, weights)))
    (b, queries, heads), c = locations.shape[:3], values.shape[-1]
    sums = _attend(levels, _split(values), _split(locations), _split(weights))
    return reshape(jnp.moveaxis(reshape(sums, (b, heads, queries, c)), 1, 2), (b, queries, heads * c))


def check_level_shapes(function: str, level_shapes: Any, name: str, pixels: Size) -> LevelShapes:
    """The shapes of the levels as a tuple of pairs, which together have all `pixels` of the argument `name`.

    Raises: ValueError showing what came.
    """

    def is_row(value: object) -> bool:
        return isinstance(value, Sequence) and len(value) > 0

    fits = is_row(level_shapes) and all(
        is_row(pair) and len(pair) == 2 and all(is_size(size) and not surely_less(size, 1) for size in pair)
        for pair in level_shapes
    )
    if not fits:
        raise ValueError(
            f"{function}: level_shapes must be a pair of whole numbers (height, width) for each level, each "
            f"at least 1, got {level_shapes!r}"
        )
    total = sum(height * width for height, width in level_shapes)
    if total != pixels:
        raise ValueError(
            f"{function}: {name} must have the {total} pixels of level_shapes {level_shapes}, "
            f"got {pixels}; put the levels' pixels one after the other, as level.reshape(b, h * w, ...)"
        )
    return tuple((height, width) for height, width in level_shapes)


def _checked(values, locations, weights, level_shapes) -> LevelShapes:
    check = partial(check_array, "deform_attention")
    check("values", values, "b pixels heads c", "put the levels' pixels in one row, and split the channels")
    check(
        "locations", locations, "b queries heads levels points 2",
        "split a branch's channels by locations.reshape(b, queries, heads, levels, points, 2)",
    )  # fmt: skip
    check(
        "weights", weights, "b queries heads levels points",
        "split a branch's channels by weights.reshape(b, queries, heads, levels, points)",
    )  # fmt: skip
    levels = check_level_shapes("deform_attention", level_shapes, "values", values.shape[1])
    b, _, heads, _ = values.shape
    _, queries, _, _, points, _ = locations.shape
    check_shape(
        "deform_attention", "locations", locations, (b, queries, heads, len(levels), points, 2),
        because=f"(values {values.shape}, {len(levels)} level_shapes)",
        remedy="give every query and head the (y, x) of its points in every level",
    )  # fmt: skip
    check_shape(
        "deform_attention", "weights", weights, locations.shape[:-1],
        because=f"(one weight for each of locations {locations.shape})",
        remedy="give every point its weight",
    )  # fmt: skip
    return levels


# In the place of a NaN location: nothing is read there.
_OUTSIDE = -1

# What is below works on these arrays. Batch and heads share an axis, bh = b * heads, because to the sampler
# they are alike; n are the queries.
#   values (bh, pixels, c), locations (bh, n, levels, points, 2), weights (bh, n, levels, points)


def _forward(levels: LevelShapes, values, locations, weights) -> Float[Array, "bh n c"]:
    return by_platform(partial(_output, levels), values, locations, weights)


def _output(levels, schedule, values, locations, weights) -> Float[Array, "bh n c"]:
    """Eq. 3 of Zhu et al. 2021, for some queries at a time."""
    images = _images(levels, values)
    pixels = [pixels_of(image, image.shape[1:-1], Reading(), schedule=schedule) for image in images]

    def add_part(start: Int[Array, ""], size: Size, output: Float[Array, "bh n c"]):
        total = jnp.zeros((), wide_dtype(values))
        for level, image in enumerate(images):
            some, some_weights = _slices((locations, weights), level, start, size)
            samples = _read(pixels[level], _positions(some, image), image)
            total += jnp.sum(widen(samples) * some_weights.astype(total.dtype)[..., None], axis=2)
        return lax.dynamic_update_slice_in_dim(output, total.astype(output.dtype), start, axis=1)

    shape = (*locations.shape[:2], values.shape[-1])
    return _over_queries(add_part, zeros(shape, values.dtype, beside=values), values, locations, schedule)


def _backward(levels, arguments, cotangent):
    return by_platform(partial(_gradients, levels), arguments, cotangent)


def _gradients(levels, schedule, arguments, cotangent):
    # The barriers keep XLA from sharing gathers between forward pass, samples and slopes: what is shared is
    # written to memory.
    values, locations, weights = lax.optimization_barrier(arguments)
    cotangent = jnp.where(jnp.isnan(locations).any(axis=(2, 3, 4))[..., None], 0, cotangent)
    locations = jnp.where(jnp.isnan(locations), _OUTSIDE, locations)
    images = _images(levels, values)
    pixels = [pixels_of(image, image.shape[1:-1], Reading(), schedule=schedule) for image in images]
    dtype = wide_dtype(values)

    def add_part(start: Int[Array, ""], size: Size, gradients):
        to_images, to_locations, to_weights = gradients
        to_images = list(to_images)
        part_cotangent = lax.dynamic_slice_in_dim(cotangent, start, size, axis=1)[:, :, None].astype(dtype)
        for level, image in enumerate(images):
            some, some_weights = _slices((locations, weights), level, start, size)
            positions = _positions(some, image)
            to_weight = jnp.sum(part_cotangent * widen(_read(pixels[level], positions, image)), axis=-1)
            to_samples = _one_row(part_cotangent * some_weights.astype(dtype)[..., None])
            if not schedule.reads_once:
                positions = lax.optimization_barrier(positions)
            how = {"image_shape": image.shape[1:], "schedule": schedule}
            to_positions = slope(pixels[level], _one_row(positions), to_samples, **how)
            to_location = reshape(to_positions, positions.shape) * _sizes(image, to_positions.dtype)
            to_images[level] = scatter(to_images[level], _one_row(positions), to_samples, **how)
            to_locations = _update(to_locations, to_location, level, start)
            to_weights = _update(to_weights, to_weight, level, start)
        return to_images, to_locations, to_weights

    gradients = (
        [zeros_to_add_to(image, image.shape[1:-1], Reading(), dtype, schedule=schedule) for image in images],
        jnp.zeros_like(locations),
        jnp.zeros_like(weights),
    )
    to_images, *others = _over_queries(add_part, gradients, values, locations, schedule)
    rows = [image_of(to_image, image.shape) for to_image, image in zip(to_images, images, strict=True)]
    rows = [reshape(row, (row.shape[0], math.prod(row.shape[1:-1]), row.shape[-1])) for row in rows]
    return jnp.concatenate(rows, axis=1).astype(values.dtype), *others


_attend = with_backward_pass(_forward, _backward)


def _over_queries(add_part, state, values, locations, schedule: Schedule):
    """Adds the parts that the queries are divided into."""
    bh, _, c = values.shape
    return in_parts(
        add_part,
        state,
        length=locations.shape[1],
        bytes_each=bh * locations.shape[3] * c * wide_dtype(values).itemsize,
        part_bytes=schedule.part_bytes,
    )


def _split(array: Float[Array, "b n heads *rest"]) -> Float[Array, "bh n *rest"]:
    """Moves the heads beside the batch."""
    array = jnp.moveaxis(array, 2, 1)
    return reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))


def _images(levels: LevelShapes, values: Float[Array, "bh pixels c"]) -> list[Float[Array, "bh h w c"]]:
    images, start = [], 0
    for height, width in levels:
        level = lax.slice_in_dim(values, start, start + height * width, axis=1)
        images.append(reshape(level, (values.shape[0], height, width, values.shape[-1])))
        start += height * width
    return images


def _sizes(image: Float[Array, "bh h w c"], dtype: jnp.dtype) -> Float[Array, "2"]:
    return jnp.stack([jnp.asarray(size, dtype) for size in image.shape[1:-1]])


def _positions(
    locations: Float[Array, "bh n points 2"], image: Float[Array, "bh h w c"]
) -> Float[Array, "bh n points 2"]:
    """The locations in pixels."""
    locations = widen(locations)
    return locations * _sizes(image, locations.dtype) - 0.5


def _slices(arrays, level: int, start: Int[Array, ""], size: Size):
    """Of arrays (bh, n, levels, ...) one level and some queries."""
    return [lax.dynamic_slice_in_dim(array[:, :, level], start, size, axis=1) for array in arrays]


def _update(array: jax.Array, part: jax.Array, level: int, start: Int[Array, ""]) -> jax.Array:
    """Puts what `_slices` takes."""
    part = jnp.expand_dims(part.astype(array.dtype), 2)
    return lax.dynamic_update_slice(array, part, (0, start, level, *[0] * (array.ndim - 3)))


def _one_row(array: Float[Array, "bh n points k"]) -> Float[Array, "bh n_points k"]:
    """The points of one query after those of another."""
    bh, n, points, k = array.shape
    return reshape(array, (bh, n * points, k))


def _read(
    pixels: Float[Array, "bh *pixels k"],
    positions: Float[Array, "bh n points 2"],
    image: Float[Array, "bh h w c"],
) -> Float[Array, "bh n points c"]:
    samples = read(pixels, _one_row(positions), image_shape=image.shape[1:])
    return reshape(samples, (*positions.shape[:-1], image.shape[-1]))
