"""Which arrays the native kernels take."""

import math

import jax
import jax.numpy as jnp

from geoattn_jax.native.library import kernels
from geoattn_jax.ops.platforms import Schedule
from geoattn_jax.ops.sizes import is_number


def fits(schedule: Schedule, image: jax.Array, *others: jax.Array | None) -> bool:
    """Whether there are native kernels for images, and what else belongs to a reading of them.

    Args:
      schedule: of the platform.
      image: (b, h, w, c), with other axes there is none.
      *others: arrays, or None.
    """
    arrays = [image, *(other for other in others if other is not None)]
    return (
        schedule.native
        and image.ndim == 4
        and all(array.dtype == jnp.float32 and is_number(*array.shape) for array in arrays)
        and math.prod(image.shape[1:]) < 2**31  # they count in 32 bits
        and kernels().instructions is not None
    )
