"""Positions in other units: normalized as theta has them, or in pixels of the same image at another size."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_array, check_pair, check_shape


def normalize_coords(
    coords: Float[Array, "b *s 2"], *, input_hw: tuple[int, int], align_corners: bool = False
) -> Float[Array, "b *s 2"]:
    """Normalized positions, what the last column of theta means: the inverse of `affine_grid`'s conversion.

    Convention: coords are (y, x) in pixels, pixel centres at integers; the result is (x, y), where -1 and 1
    are the outer edges of the outermost pixels, with `align_corners` their centres.

    Args:
      coords: positions, pixels; NaN stays NaN.
      input_hw: height and width of the image, pixels.
      align_corners: what -1 and 1 stand for.

    Returns: the positions, in coords' dtype.
    Raises: ValueError if coords is not a floating-point (b, ..., 2), or input_hw is not two positive integers
      (greater than 1 with `align_corners`).
    """
    coords = _checked("normalize_coords", coords)
    check_pair("normalize_coords", "input_hw", input_hw, minimum=2 if align_corners else 1)
    size = jnp.array([length - align_corners for length in input_hw], coords.dtype)
    return ((2 * coords + (1 - align_corners)) / size - 1)[..., ::-1]


def rescale_coords(
    coords: Float[Array, "b *s 2"], *, from_hw: tuple[int, int], to_hw: tuple[int, int]
) -> Float[Array, "b *s 2"]:
    """The same places in an image that was resized: its outer edges stay its edges, as in `jax.image.resize`.

    Convention: (y, x) in pixels, pixel centres at integers.

    Args:
      coords: positions, pixels of the image before; NaN stays NaN.
      from_hw: height and width of that image, pixels.
      to_hw: likewise of the resized one.

    Returns: the positions, in coords' dtype.
    Raises: ValueError if coords is not a floating-point (b, ..., 2), or a size is not two positive integers.
    """
    coords = _checked("rescale_coords", coords)
    check_pair("rescale_coords", "from_hw", from_hw, minimum=1)
    check_pair("rescale_coords", "to_hw", to_hw, minimum=1)
    scale = jnp.asarray(np.divide(to_hw, from_hw), coords.dtype)
    return (coords + 0.5) * scale - 0.5


def _checked(owner: str, coords: Float[Array, "b *s 2"]) -> Float[Array, "b *s 2"]:
    coords = jnp.asarray(coords)
    check_array(owner, "coords", coords, "b *s 2")
    check_shape(
        owner, "coords", coords, (*coords.shape[:-1], 2), because="(y and x of each position)",
        remedy="stack y and x on the last axis",
    )  # fmt: skip
    return coords
