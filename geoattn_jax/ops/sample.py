"""Reading images at real-valued positions, with a backward pass of its own.

The pixels around a position, its *cell*, are always inside the image here: where the image ends, their
weights say so, not their indices. `reference.bilinear_sample` is the same function without care for speed.
"""

import math
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.checks import check_array, check_choice, check_shape, forward_mode_hint
from geoattn_jax.ops.parts import in_parts

PaddingMode = Literal["zeros", "border"]


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """Reads `image` at real-valued positions (Jaderberg et al. 2015, Eq. 5).

    Differentiable in both arguments, in reverse mode to any order; forward mode is left to
    `geoattn_jax.ops.reference.bilinear_sample`.

    Convention: coords are (y, x) in pixels, pixel centres at integers, y down. At an integer coordinate the
    derivative is the right-hand one. A NaN coordinate reads NaN and passes no gradient.

    Args:
      image: pixels, any float dtype; the arithmetic is done in float32 or wider.
      coords: where to read, pixels; positions may lie outside the image. Keep them in float32 or wider
        beside a bfloat16 image: in bfloat16 a position beyond pixel 128 has no fraction left.
      padding_mode: what lies outside, "zeros" or "border" (the nearest edge pixel).

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or padding_mode is unknown; TypeError under
      forward-mode differentiation.
    """
    image, coords = jnp.asarray(image), jnp.asarray(coords)
    check_image("bilinear_sample", image)
    own = "give every image of the batch its own coordinates, with (y, x) on the last axis"
    check_array("bilinear_sample", "coords", coords, "b *s 2", own)
    check_shape(
        "bilinear_sample", "coords", coords, (image.shape[0], *coords.shape[1:-1], 2),
        because=f"(y and x of each sample in each image of shape {image.shape})",
        remedy=own,
    )  # fmt: skip
    check_choice("bilinear_sample", "padding_mode", padding_mode, get_args(PaddingMode))
    with forward_mode_hint("bilinear_sample"):
        samples = _sample(
            image, coords.reshape(image.shape[0], math.prod(coords.shape[1:-1]), 2), padding_mode
        )
    return samples.reshape(*coords.shape[:-1], image.shape[-1])


def offset_resample(
    image: Float[Array, "b h w c"], offsets: Float[Array, "b h w c 2"]
) -> Float[Array, "b h w c"]:
    """Moves every value of every channel by its own offset: out[p, c] = image[p + offsets[p, c], c].

    The "offset2D" layer of the program that Shan & Atanasov 2017 released: unlike Eq. 1b, which moves the
    taps of a kernel, each channel is resampled by an offset field of its own. Outside the image it reads the
    nearest edge pixel. Differentiable as `bilinear_sample` is.

    Convention: offsets are (dy, dx) in pixels, y down; everything else as in `bilinear_sample`.

    Args:
      image: feature maps, any float dtype.
      offsets: for each pixel and channel the way to where it is read, pixels.

    Returns: the resampled feature maps, in image's dtype.
    Raises: ValueError if ranks, dtypes or shapes disagree; TypeError under forward-mode differentiation.
    """
    image, offsets = jnp.asarray(image), jnp.asarray(offsets)
    check_image("offset_resample", image)
    pairs = "reshape the offset branch's 2C channels to (C, 2)"
    check_array("offset_resample", "offsets", offsets, "b h w c 2", pairs)
    check_shape(
        "offset_resample", "offsets", offsets, (*image.shape, 2),
        because=f"(a (dy, dx) for each value of an image of shape {image.shape})",
        remedy=pairs,
    )  # fmt: skip
    b, h, w, c = image.shape
    # Each channel becomes an image of its own.
    channels = jnp.moveaxis(image, -1, 1).reshape(b * c, h, w, 1)
    positions = jnp.moveaxis(pixel_positions(h, w, wide_dtype(offsets))[:, :, None] + widen(offsets), 3, 1)
    with forward_mode_hint("offset_resample"):
        samples = _sample(channels, positions.reshape(b * c, h * w, 2), "border")
    return jnp.moveaxis(samples.reshape(b, c, h, w), 1, -1)


def pixel_positions(height: int, width: int, dtype: jnp.dtype) -> Float[Array, "height width 2"]:
    """The (y, x) of every pixel."""
    axes = (jnp.arange(size, dtype=dtype) for size in (height, width))
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def wide_dtype(*arrays: jax.Array) -> jnp.dtype:
    """The dtype for arithmetic on the arrays: the widest of theirs, and at least float32."""
    return max((jnp.dtype(jnp.float32), *(array.dtype for array in arrays)), key=lambda dtype: dtype.itemsize)


def widen(array: jax.Array) -> jax.Array:
    """The array in float32 or wider."""
    return array.astype(wide_dtype(array))


def check_image(function: str, image: jax.Array) -> None:
    """Checks that `image` is a batch of floating-point images that have pixels.

    Raises: ValueError naming what came and what was expected.
    """
    missing = "give a single image a batch axis by image[None], a grey one a channel axis by image[..., None]"
    check_array(function, "image", image, "b h w c", missing)
    if 0 in image.shape[1:3]:
        raise ValueError(f"{function}: image must have at least one pixel, got shape {image.shape}")


def read(
    image: Float[Array, "b h w c"], positions: Float[Array, "b n 2"], padding_mode: PaddingMode
) -> Float[Array, "b n c"]:
    """The samples, without a backward pass of their own."""
    return jax.vmap(partial(_read, padding_mode=padding_mode))(image, positions)


_sample = jax.custom_vjp(read, nondiff_argnums=(2,))


def _sample_forward(image, positions, padding_mode):
    return read(image, positions, padding_mode), (image, positions)


def _sample_backward(padding_mode, residuals, cotangent):
    # Without the barrier XLA merges these gathers with the forward ones, and neither loop stays fused.
    image, positions = lax.optimization_barrier(residuals)

    def add_part(start: Int[Array, ""], size: int, gradients):
        to_image, to_positions = gradients
        part, part_cotangent = (
            lax.dynamic_slice_in_dim(array, start, size, axis=1) for array in (positions, cotangent)
        )
        # A NaN position gets a number, and a cotangent of zero.
        nan = jnp.any(jnp.isnan(part), axis=-1, keepdims=True)
        part, part_cotangent = jnp.where(nan, 0, part), jnp.where(nan, 0, part_cotangent)
        slopes = slope(image, part, part_cotangent, padding_mode).astype(positions.dtype)
        return (
            scatter(to_image, part, part_cotangent, padding_mode),
            lax.dynamic_update_slice_in_dim(to_positions, slopes, start, axis=1),
        )

    b, n, c = cotangent.shape
    dtype = wide_dtype(image, positions)
    gradients = jnp.zeros(image.shape, dtype), jnp.zeros_like(positions)
    to_image, to_positions = in_parts(add_part, gradients, length=n, bytes_each=2 * b * c * dtype.itemsize)
    return to_image.astype(image.dtype), to_positions


_sample.defvjp(_sample_forward, _sample_backward)


def scatter(
    image: Float[Array, "b h w c"],
    positions: Float[Array, "b n 2"],
    values: Float[Array, "b n c"],
    padding_mode: PaddingMode,
) -> Float[Array, "b h w c"]:
    """Adds `values` to `image` at real-valued positions: the transpose of `read` in its image."""
    b, h, w, c = image.shape
    spread = jax.vmap(partial(_spread, hw=(h, w), padding_mode=padding_mode))
    return spread(image.reshape(b, h * w, c), positions, values).reshape(image.shape)


def slope(
    image: Float[Array, "b h w c"],
    positions: Float[Array, "b n 2"],
    cotangent: Float[Array, "b n c"],
    padding_mode: PaddingMode,
) -> Float[Array, "b n 2"]:
    """The gradient of `read` in its positions."""
    return jax.vmap(partial(_slope, padding_mode=padding_mode))(image, positions, cotangent)


class _Axis(NamedTuple):
    """Along one axis, the (at most two) neighbouring pixels that a coordinate is read from."""

    first: Int[Array, " n"]  # index of the first of them
    weights: list[Float[Array, " n"]]  # of each of them
    slopes: list[Float[Array, " n"]]  # derivatives of the weights


def _neighbours(coordinate: Float[Array, " n"], size: int, padding_mode: PaddingMode) -> _Axis:
    coordinate = widen(coordinate)
    moves = True
    if padding_mode == "border":
        moves = (coordinate >= 0) & (coordinate < size - 1)
        coordinate = jnp.clip(coordinate, 0, size - 1)
    # Bounded before it becomes an integer; a NaN compares false.
    first = jnp.where(coordinate > 0, jnp.minimum(jnp.floor(coordinate), max(size - 2, 0)), 0)
    distances = [coordinate - first - step for step in range(min(size, 2))]
    weights = [jnp.maximum(1 - jnp.abs(distance), 0) for distance in distances]
    slopes = [
        jnp.where(moves & (d >= -1) & (d < 1), jnp.where(d < 0, 1, -1), 0).astype(coordinate.dtype)
        for d in distances
    ]
    return _Axis(first.astype(jnp.int32), weights, slopes)


def _cell(positions, hw, padding_mode) -> tuple[_Axis, _Axis]:
    return tuple(_neighbours(positions[:, axis], hw[axis], padding_mode) for axis in (0, 1))


def _read(
    image: Float[Array, "h w c"], positions: Float[Array, "n 2"], padding_mode: PaddingMode
) -> Float[Array, "n c"]:
    """One image's samples, Jaderberg et al. 2015, Eq. 5."""
    y, x = _cell(positions, image.shape[:2], padding_mode)
    dtype = wide_dtype(image, positions)
    total = 0
    for dy, weight_y in enumerate(y.weights):
        for dx, weight_x in enumerate(x.weights):
            weight = (weight_y * weight_x).astype(dtype)[:, None]
            total += weight * _pixels(image, y.first + dy, x.first + dx).astype(dtype)
    return total.astype(image.dtype)


def _slope(
    image: Float[Array, "h w c"],
    positions: Float[Array, "n 2"],
    cotangent: Float[Array, "n c"],
    padding_mode: PaddingMode,
) -> Float[Array, "n 2"]:
    """One image's gradient in the positions, Jaderberg et al. 2015, Eq. 7, summed over channels."""
    y, x = _cell(positions, image.shape[:2], padding_mode)
    dtype = wide_dtype(image, positions)
    along_y = along_x = 0
    for dy, dx in ((dy, dx) for dy in range(len(y.weights)) for dx in range(len(x.weights))):
        pixels = _pixels(image, y.first + dy, x.first + dx).astype(dtype)
        along_y += (y.slopes[dy] * x.weights[dx]).astype(dtype)[:, None] * pixels
        along_x += (y.weights[dy] * x.slopes[dx]).astype(dtype)[:, None] * pixels
    products = tuple(cotangent.astype(dtype) * along for along in (along_y, along_x))
    if image.shape[-1] == 1:
        # A select instead of a concatenation, which would write both halves to memory first.
        return jnp.where(jnp.arange(2) == 0, *products)
    # One reduction for both sums for the same reason.
    zero = jnp.zeros((), dtype)
    sums = lax.reduce(products, (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), dimensions=(1,))
    return jnp.stack(sums, axis=-1)


def _spread(
    pixels: Float[Array, "hw c"],
    positions: Float[Array, "n 2"],
    values: Float[Array, "n c"],
    hw: tuple[int, int],
    padding_mode: PaddingMode,
) -> Float[Array, "hw c"]:
    """Adds `values` to one image, Jaderberg et al. 2015, Eq. 6: two pixels of a row at a time."""
    y, x = _cell(positions, hw, padding_mode)
    weights_x = jnp.stack(x.weights, axis=-1)
    first = y.first * hw[1] + x.first
    window = lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
    )
    for dy, weight_y in enumerate(y.weights):
        weights = (weight_y[:, None] * weights_x).astype(pixels.dtype)
        updates = weights[:, :, None] * values[:, None, :].astype(pixels.dtype)
        rows = (first + dy * hw[1])[:, None]
        pixels = lax.scatter_add(pixels, rows, updates, window, mode="promise_in_bounds")
    return pixels


def _pixels(image: Float[Array, "h w c"], y: Int[Array, " n"], x: Int[Array, " n"]) -> Float[Array, "n c"]:
    h, w, c = image.shape
    return image.reshape(h * w, c).at[y * w + x].get(mode="promise_in_bounds")
