"""Max-pooling."""

from jaxtyping import Array, Float

from geoattn_jax.ops.placement import reshape
from geoattn_jax.ops.sizes import surely_less


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
    if surely_less(rows, 1) or surely_less(columns, 1):
        raise ValueError(
            f"max_pool: image must be at least {window} x {window} pixels, got shape {image.shape}; "
            f"use larger frames or pool less"
        )
    whole = image[:, : rows * window, : columns * window]
    blocks = reshape(whole, (batch, rows, window, columns, window, channels))
    return blocks.max(axis=(2, 4))
