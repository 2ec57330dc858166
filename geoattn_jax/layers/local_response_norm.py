"""Local response normalization."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def local_response_norm(
    image: Float[Array, "b h w c"],
    *,
    window: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Float[Array, "b h w c"]:
    """Divides each channel by the energy of its neighbours (Krizhevsky et al. 2012, section 3.3).

      b_c = a_c / (k + alpha * sum of a_j² over the `window` channels j around c) ** beta

    Channels beyond the first and the last are zeros. Computed in float32 at least.

    Convention: alpha weights each square, as in the paper and MatConvNet. In torch and Caffe it is divided by
    the size of the window: their alpha is `window` times this one.

    Args:
      image: feature maps.
      window: number of neighbouring channels, the channel itself among them, odd.
      k, alpha, beta: the constants above; the defaults are the paper's.

    Returns: the normalized maps, in image's dtype.
    Raises: ValueError if `window` is not a positive odd number.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(
            f"local_response_norm: window must be a positive odd number, with a channel at its centre, "
            f"got {window}"
        )
    wide = image.astype(np.promote_types(image.dtype, np.float32))
    reach = window // 2
    energy = lax.reduce_window(
        jnp.square(wide),
        0.0,
        lax.add,
        window_dimensions=(1, 1, 1, window),
        window_strides=(1, 1, 1, 1),
        padding=((0, 0), (0, 0), (0, 0), (reach, reach)),
    )
    return (wide * (k + alpha * energy) ** -beta).astype(image.dtype)
