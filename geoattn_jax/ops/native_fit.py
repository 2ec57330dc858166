"""Which arrays the native kernels take."""

import math

import jax
import jax.numpy as jnp

from geoattn_jax.native.library import kernels
from geoattn_jax.ops.platforms import Schedule
from geoattn_jax.ops.sizes import is_number


def fits(schedule: Schedule, image: jax.Array, *others: jax.Array | None, groups: int = 1) -> bool:
    """Whether there are native kernels for images, and what else belongs to a reading of them.

    Args:
      schedule: of the platform.
      image: (b, h, w, c), with other axes there is none.
      *others: arrays, or None.
      groups: how many such images the kernels take as one, side by side in its channels.
    """
    arrays = [image, *(other for other in others if other is not None)]
    return (
        schedule.native
        and image.ndim == 4
        and all(array.dtype == jnp.float32 and is_number(*array.shape) for array in arrays)
        # They count in 32 bits, a row and a pixel beyond the image too, and along an axis in float32.
        and groups * math.prod(image.shape[1:]) < 2**30
        and max(image.shape[1:3]) < 2**24
        and kernels().instructions is not None
    )
