"""What lies outside an image."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from geoattn_jax.ops.sizes import Size, as_operand

PaddingMode = Literal["zeros", "border"]


def padded(
    coordinate: Float[Array, " n"], size: Size, padding_mode: PaddingMode
) -> tuple[Float[Array, " n"], bool | Bool[Array, " n"]]:
    """Where along an axis of `size` pixels a coordinate is read, and whether that moves as it does.

    With "zeros" it is read where it lies, with "border" at the nearest pixel.
    """
    if padding_mode == "zeros":
        return coordinate, True
    last = as_operand(size - 1, coordinate.dtype)
    # Not clipped, whose derivative at a bound is a half.
    inside = jnp.where(coordinate < 0, 0, jnp.where(coordinate >= last, last, coordinate))
    return inside, (coordinate >= 0) & (coordinate < last)
