"""Max-pooling by reshapes and slices: `reduce_window`'s gradient is slow and gathers a divided batch."""

from collections.abc import Sequence
from functools import reduce

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from geoattn_jax.ops.placement import reshape
from geoattn_jax.ops.sizes import Size, surely_less


def max_pool(image: Float[Array, "b h w c"], window: int = 2) -> Float[Array, "b ho wo c"]:
    """The maximum of each `window` x `window` block; rows and columns after the last full block are dropped.

    Equal to `flax.linen.max_pool` with strides equal to the window, but for the gradient where maxima are
    equal: they share it evenly.

    Args:
      image: feature maps.
      window: side of a block, pixels.

    Returns: the maxima, (b, h // window, w // window, c).
    Raises: ValueError if the image is smaller than a block.
    """
    batch, height, width, channels = image.shape
    rows, columns = height // window, width // window
    _check_holds_a_block("max_pool", image, image.shape[1:3], window)
    whole = image[:, : rows * window, : columns * window]
    blocks = reshape(whole, (batch, rows, window, columns, window, channels))
    return blocks.max(axis=(2, 4))


def overlapping_max_pool(image: Float[Array, "b h w c"], *, pad_end: int = 0) -> Float[Array, "b ho wo c"]:
    """The maxima of blocks of 3 x 3 pixels, one every 2.

    Equal to `flax.linen.max_pool`, but for the gradient where maxima are equal, which they share.

    Args:
      image: feature maps, at least 3 x 3 pixels with those added.
      pad_end: rows below and columns to the right to add; they are never the maximum.

    Returns: the maxima, (b, (h + pad_end - 1) // 2, (w + pad_end - 1) // 2, c).
    Raises: ValueError if the image is smaller than a block.
    """
    padded_hw = [size + pad_end for size in image.shape[1:3]]
    _check_holds_a_block("overlapping_max_pool", image, padded_hw, 3)
    for axis in (1, 2):
        padding = [(0, pad_end if other == axis else 0) for other in range(4)]
        image = jnp.pad(image, padding, constant_values=-jnp.inf) if pad_end else image
        blocks = (image.shape[axis] - 1) // 2
        thirds = (
            lax.slice_in_dim(image, first, first + 2 * blocks - 1, stride=2, axis=axis) for first in range(3)
        )
        image = reduce(jnp.maximum, thirds)
    return image


def _check_holds_a_block(function: str, image: Array, hw: Sequence[Size], window: int) -> None:
    if any(surely_less(size, window) for size in hw):
        raise ValueError(
            f"{function}: image must be at least {window} x {window} pixels, got shape {image.shape}; "
            f"use larger frames or pool less"
        )
