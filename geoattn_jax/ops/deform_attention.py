"""Multi-scale deformable attention: each query reads a few points of every level, and weighs them.

One loop over parts of the queries and their points, forward and backward: sample each level where the queries
look, weigh, add. The samples of all queries are never side by side.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Integer

from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.cells import scatter, slope
from geoattn_jax.ops.checks import check_array, check_shape
from geoattn_jax.ops.interpolation import Reading
from geoattn_jax.ops.lookups import image_of, pixels_of, zeros_to_add_to
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, reshape, varying_alike, zeros
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype, widen
from geoattn_jax.ops.series import one_row, read_series, slices
from geoattn_jax.ops.sizes import Size, is_size, surely_less

LevelShapes: TypeAlias = tuple[tuple[Size, Size], ...]
GivenLevelShapes: TypeAlias = (
    Sequence[tuple[Size, Size]] | Integer[np.ndarray, "levels 2"] | Integer[Array, "levels 2"]
)


def deform_attention(
    values: Float[Array, "b pixels heads c"],
    locations: Float[Array, "b queries heads levels points 2"],
    weights: Float[Array, "b queries heads levels points"],
    *,
    level_shapes: GivenLevelShapes,
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
      >>> weights = jnp.array([0.75, 0.25]).reshape(1, 1, 1, 2, 1)
      >>> deform_attention(values, locations, weights, level_shapes=level_shapes).tolist()
      [[[3.625]]]
    """
    values, locations, weights = (jnp.asarray(array) for array in (values, locations, weights))
    levels = _checked(values, locations, weights, level_shapes)
    values, locations, weights = varying_alike(divided_alike((values, locations, weights)))
    (b, queries, heads), c = locations.shape[:3], values.shape[-1]
    sums = _attend(levels, _heads_first(values), _points_first(locations), _points_first(weights))
    return reshape(jnp.moveaxis(reshape(sums, (b, heads, queries, c)), 1, 2), (b, queries, heads * c))


def check_level_shapes(function: str, level_shapes: Any, name: str, pixels: Size) -> LevelShapes:
    """The shapes of the levels as a tuple of pairs, which together have all `pixels` of the argument `name`.

    Raises: ValueError showing what came.
    """

    def is_row(value: object) -> bool:
        return isinstance(value, Sequence) and len(value) > 0

    if isinstance(level_shapes, jax.Array | np.ndarray) and not isinstance(level_shapes, jax.core.Tracer):
        level_shapes = np.asarray(level_shapes).tolist()
    fits = is_row(level_shapes) and all(
        is_row(pair) and len(pair) == 2 and all(is_size(size) and not surely_less(size, 1) for size in pair)
        for pair in level_shapes
    )
    if not fits:
        raise ValueError(
            f"{function}: level_shapes must be a pair of whole numbers (height, width) for each level, each "
            f"at least 1, got {level_shapes!r}; give numbers that are known before tracing, "
            f"such as ((100, 134), (50, 67))"
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
# they are alike; n are the queries, t some points in a row.
#   values (bh, pixels, c), locations (bh, points, n, levels, 2), weights (bh, points, n, levels)


def _forward(levels: LevelShapes, values, locations, weights) -> Float[Array, "bh n c"]:
    return by_platform(partial(_output, levels), values, locations, weights)


def _output(levels, schedule, values, locations, weights) -> Float[Array, "bh n c"]:
    """Eq. 3 of Zhu et al. 2021 for some queries at a time, and some points at a time."""
    images = _images(levels, values)
    pixels = [pixels_of(image, image.shape[1:-1], Reading(), schedule=schedule) for image in images]

    def add_part(start: Int[Array, ""], size: Size, output: Float[Array, "bh n c"]):
        def add_points(point: Int[Array, ""], count: int, total: Float[Array, "bh part c"]):
            some, some_weights = slices((locations, weights), (point, count), (start, size))
            for level, image in enumerate(images):
                samples = read_series(pixels[level], _positions(some, level, image), image.shape[1:])
                weight = some_weights[..., level, None].astype(total.dtype)
                total += jnp.sum(weight * samples.astype(total.dtype), axis=1)
            return total

        total = zeros((output.shape[0], size, output.shape[2]), wide_dtype(values), beside=values)
        total = _over_points(add_points, total, locations, schedule)
        return lax.dynamic_update_slice_in_dim(output, total.astype(output.dtype), start, axis=1)

    shape = (locations.shape[0], locations.shape[2], values.shape[-1])
    return _over_queries(add_part, zeros(shape, values.dtype, beside=values), values, locations, schedule)


def _backward(levels, arguments, cotangent):
    return by_platform(partial(_gradients, levels), arguments, cotangent)


def _gradients(levels, schedule, arguments, cotangent):
    # The barriers keep XLA from sharing gathers between forward pass, samples and slopes: what is shared is
    # written to memory.
    values, locations, weights = lax.optimization_barrier(arguments)
    cotangent = jnp.where(jnp.isnan(locations).any(axis=(1, 3, 4))[..., None], 0, cotangent)
    locations = jnp.where(jnp.isnan(locations), _OUTSIDE, locations)
    images, dtype = _images(levels, values), wide_dtype(values)
    pixels = [pixels_of(image, image.shape[1:-1], Reading(), schedule=schedule) for image in images]

    def add_part(start: Int[Array, ""], size: Size, gradients):
        part_cotangent = lax.dynamic_slice_in_dim(cotangent, start, size, axis=1)[:, None].astype(dtype)

        def add_points(point: Int[Array, ""], count: int, gradients):
            to_images, to_locations, to_weights = gradients
            to_images, some_to_locations, some_to_weights = list(to_images), [], []
            some, some_weights = slices((locations, weights), (point, count), (start, size))
            for level, image in enumerate(images):
                positions = _positions(some, level, image)
                samples = read_series(pixels[level], positions, image.shape[1:]).astype(dtype)
                some_to_weights.append(jnp.sum(part_cotangent * samples, axis=-1))
                to_samples = one_row(part_cotangent * some_weights[..., level, None].astype(dtype))
                if not schedule.reads_once:
                    positions = lax.optimization_barrier(positions)
                how = {"image_shape": image.shape[1:], "schedule": schedule}
                to_positions = slope(pixels[level], one_row(positions), to_samples, **how)
                to_positions = reshape(to_positions, positions.shape)
                some_to_locations.append(to_positions * _sizes(image, to_positions.dtype))
                to_images[level] = scatter(to_images[level], one_row(positions), to_samples, **how)
            to_locations = _update(to_locations, jnp.stack(some_to_locations, axis=3), point, start)
            to_weights = _update(to_weights, jnp.stack(some_to_weights, axis=3), point, start)
            return to_images, to_locations, to_weights

        return _over_points(add_points, gradients, locations, schedule)

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
    bh, points, n, levels, _ = locations.shape
    samples = levels * (points if schedule.all_taps_at_once else 1)
    return in_parts(
        add_part,
        state,
        length=n,
        bytes_each=bh * samples * values.shape[-1] * wide_dtype(values).itemsize,
        part_bytes=schedule.tap_bytes,
    )


def _over_points(add_points, state, locations, schedule: Schedule):
    """Adds all points, together or one after the other."""
    points = locations.shape[1]
    if schedule.all_taps_at_once:
        return add_points(jnp.asarray(0), points, state)
    return lax.fori_loop(0, points, lambda point, state: add_points(point, 1, state), state)


def _heads_first(array: Float[Array, "b n heads *rest"]) -> Float[Array, "bh n *rest"]:
    """Moves the heads beside the batch."""
    array = jnp.moveaxis(array, 2, 1)
    return reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))


def _points_first(array: Float[Array, "b n heads levels points *d"]) -> Float[Array, "bh points n levels *d"]:
    """Moves the heads beside the batch and the points before the queries."""
    return jnp.moveaxis(_heads_first(array), 3, 1)


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
    locations: Float[Array, "bh t n levels 2"], level: int, image: Float[Array, "bh h w c"]
) -> Float[Array, "bh t n 2"]:
    """The locations in one level in pixels."""
    locations = widen(locations[..., level, :])
    return locations * _sizes(image, locations.dtype) - 0.5


def _update(array: jax.Array, part: jax.Array, point: Int[Array, ""], query: Int[Array, ""]) -> jax.Array:
    """Puts what `slices` takes."""
    first = [jnp.asarray(0), point, query] + [jnp.asarray(0)] * (array.ndim - 3)
    return lax.dynamic_update_slice(array, part.astype(array.dtype), first)
