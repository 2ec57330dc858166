"""Max-pooling."""

from functools import reduce

import jax.numpy as jnp
from jaxtyping import Array, Float


def max_pool(image: Float[Array, "b h w c"], window: int = 2) -> Float[Array, "b ho wo c"]:
    """The maximum of each `window` x `window` block; rows and columns after the last full block are dropped.

    Equal to `flax.linen.max_pool` with strides equal to the window, but for the gradient where maxima are
    equal: they share it evenly. A reshape, because `reduce_window` has a slow gradient on CPU (15 times).

    Args:
      image: feature maps.
      window: side of a block, pixels.

    Returns: the maxima, (b, h // window, w // window, c).
    Raises: ValueError if the image is smaller than a block.
    """
    batch, height, width, channels = image.shape
    rows, columns = height // window, width // window
    if not rows or not columns:
        raise ValueError(
            f"max_pool: image must be at least {window} x {window} pixels, got shape {image.shape}; "
            f"use larger frames or pool less"
        )
    blocks = image[:, : rows * window, : columns * window].reshape(
        batch, rows, window, columns, window, channels
    )
    return blocks.max(axis=(2, 4))


def overlapping_max_pool(
    image: Float[Array, "b h w c"], window: int = 3, stride: int = 2, *, pad_end: int = 0
) -> Float[Array, "b ho wo c"]:
    """The maximum of each `window` x `window` block, a block beginning every `stride` pixels.

    Equal to `flax.linen.max_pool`, but for the gradient where maxima are equal. A chain of maxima of shifted
    images, because `reduce_window` has a slow gradient on CPU (13 times).

    Args:
      image: feature maps.
      window: side of a block, pixels.
      stride: from one block to the next, pixels.
      pad_end: rows and columns, below every value, that are added at the bottom and at the right.

    Returns: the maxima, (b, (h + pad_end - window) // stride + 1, the same of w, c).
    Raises: ValueError if the image is smaller than a block.
    """
    padding = ((0, 0), (0, pad_end), (0, pad_end), (0, 0))
    padded = jnp.pad(image, padding, constant_values=-jnp.inf)
    rows, columns = ((size - window) // stride + 1 for size in padded.shape[1:3])
    if rows < 1 or columns < 1:
        raise ValueError(
            f"overlapping_max_pool: image must be at least {window - pad_end} x {window - pad_end} pixels, "
            f"got shape {image.shape}; use larger frames or pool less"
        )
    shifted = (
        padded[:, y : y + stride * (rows - 1) + 1 : stride, x : x + stride * (columns - 1) + 1 : stride]
        for y in range(window)
        for x in range(window)
    )
    return reduce(jnp.maximum, shifted)
