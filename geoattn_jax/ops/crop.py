"""Windows of images, read where they lie: each function equals another one on the window cut out.

A batch's windows begin at different pixels, so cutting them out would write every window to memory first.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.cells import sample_at
from geoattn_jax.ops.checks import check_array, check_pair, check_shape
from geoattn_jax.ops.interpolation import Reading
from geoattn_jax.ops.lookups import rows_of
from geoattn_jax.ops.placement import divided_alike, reshape
from geoattn_jax.ops.platforms import by_platform
from geoattn_jax.ops.sample import check_image
from geoattn_jax.ops.sizes import as_operand, surely_less


def sample_crop(
    image: Float[Array, "b h w c"],
    top_left: Int[Array, "b 2"],
    coords: Float[Array, "b *s 2"],
    *,
    crop_hw: tuple[int, int],
) -> Float[Array, "b *s c"]:
    """Reads a window of each image at real-valued positions; outside the *window* are zeros.

    Equals `bilinear_sample(window, coords)`, in values and gradients.

    Convention: coords are (y, x) in pixels of the window, pixel centres at integers, y down.

    Args:
      image: pixels, any float dtype.
      top_left: (y, x) of each window's first pixel, pixels of the image; windows must lie in the image.
      coords: where to read, pixels of the window; positions may lie outside it.
      crop_hw: height and width of the window, pixels.

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or the window is larger than the image.
    """
    image, top_left, coords = jnp.asarray(image), jnp.asarray(top_left), jnp.asarray(coords)
    check_window("sample_crop", image, top_left, crop_hw)
    check_array("sample_crop", "coords", coords, "b *s 2")
    positions = reshape(coords, (coords.shape[0], math.prod(coords.shape[1:-1]), 2))
    height, width = crop_hw
    samples = sample_at(image, positions, Reading(), top_left, (height, width))
    return reshape(samples, (*coords.shape[:-1], image.shape[-1]))


def max_pool_crop(
    image: Float[Array, "b h w c"], top_left: Int[Array, "b 2"], *, crop_hw: tuple[int, int], window: int
) -> Float[Array, "b ho wo c"]:
    """The maximum of each `window` x `window` block of a window of each image.

    Equals `layers.max_pool(crop, window)`: rows and columns after the last full block are dropped.

    Args:
      image: pixels, any float dtype.
      top_left: (y, x) of each crop's first pixel, pixels of the image; crops must lie in the image.
      crop_hw: height and width of the crop, pixels.
      window: side of a block, pixels.

    Returns: the maxima, (b, crop height // window, crop width // window, c).
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or a crop is larger than the image or smaller
      than a block.
    """
    image, top_left = jnp.asarray(image), jnp.asarray(top_left)
    check_window("max_pool_crop", image, top_left, crop_hw)
    if not 1 <= window <= min(crop_hw):
        raise ValueError(
            f"max_pool_crop: window must be from 1 to the shorter side of crop_hw={crop_hw}, got {window}"
        )
    image, top_left = divided_alike((image, top_left))
    return _max_pool(image, top_left, tuple(crop_hw), window)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _max_pool(image, top_left, crop_hw, window):
    return by_platform(partial(_scheduled_max_pool, crop_hw, window), image, top_left)


@_max_pool.defjvp
def _max_pool_jvp(crop_hw, window, primals, tangents):
    # Those of the single pixels, on all platforms: where maxima are equal, windows share otherwise.
    (image, top_left), (to_image, _) = primals, tangents
    by_pixels = jax.vmap(partial(_pool_pixels, crop_hw, window))
    return jax.jvp(lambda image: by_pixels(image, top_left), (image,), (to_image,))


def _scheduled_max_pool(crop_hw, window, schedule, image, top_left):
    pool = _pool_rows if schedule.reads_rows else _pool_pixels
    return jax.vmap(partial(pool, crop_hw, window))(image, top_left)


def _pool_rows(
    crop_hw: tuple[int, int], window: int, image: Float[Array, "h w c"], top_left: Int[Array, "2"]
) -> Float[Array, "ho wo c"]:
    top, left = top_left
    of_rows = _pool_first(jnp.moveaxis(image, -1, 0), top, crop_hw[0], window)
    return _pool_first(of_rows.swapaxes(1, 2), left, crop_hw[1], window).transpose(2, 1, 0)


def _pool_first(
    planes: Float[Array, "c n m"], start: Int[Array, ""], length: int, window: int
) -> Float[Array, "c k m"]:
    """The maxima of every `window` rows of each plane, from `start` on."""
    steps, blocks = (jnp.arange(count, dtype=start.dtype) for count in (window, length // window))
    return jnp.max(rows_of(planes, start + window * blocks + steps[:, None], planes.dtype), axis=0)


def _pool_pixels(
    crop_hw: tuple[int, int], window: int, image: Float[Array, "h w c"], top_left: Int[Array, "2"]
) -> Float[Array, "ho wo c"]:
    height, width, channels = image.shape
    pixels = image.reshape(height * width, channels)
    rows, columns = (
        start + window * jnp.arange(size // window, dtype=top_left.dtype)
        for start, size in zip(top_left, crop_hw, strict=True)
    )
    width = as_operand(width, top_left.dtype)
    blocks = rows[:, None] * width + columns
    maxima = pixels.at[blocks].get(mode="promise_in_bounds")
    for step in range(1, window * window):
        dy, dx = divmod(step, window)
        maxima = jnp.maximum(maxima, pixels.at[blocks + (dy * width + dx)].get(mode="promise_in_bounds"))
    return maxima


def check_window(function: str, image: jax.Array, top_left: jax.Array, crop_hw: tuple[int, int]) -> None:
    """Checks images and a window of each.

    Raises: ValueError naming what came and what was expected.
    """
    check_image(function, image)
    check_shape(
        function, "top_left", top_left, (image.shape[0], 2), because="((y, x) of each image's window)",
        remedy="give every image of the batch its own window",
    )  # fmt: skip
    if not jnp.issubdtype(top_left.dtype, jnp.integer):
        raise ValueError(
            f"{function}: top_left must hold whole numbers, got {top_left.dtype}; "
            f"a window begins at a pixel: round first"
        )
    check_pair(function, "crop_hw", crop_hw, minimum=1)
    if any(surely_less(whole, size) for size, whole in zip(crop_hw, image.shape[1:3], strict=True)):
        raise ValueError(
            f"{function}: crop_hw must fit into the image of shape {image.shape}, got {crop_hw}; "
            f"use a smaller window or larger frames"
        )
