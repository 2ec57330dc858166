"""Hard-coded attentional regions: the window with the most motion (Liu et al. 2019, section 3.2)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.grid import crop_theta


def motion_map(flow: Float[Array, "b t h w 2"]) -> Float[Array, "b h w"]:
    """How much each pixel moves: the mean of u^2 + v^2 over the flows (Liu et al. 2019, Eq. 2)."""
    return jnp.mean(jnp.sum(jnp.square(flow), axis=-1), axis=1)


def best_window(motion: Float[Array, "b h w"], window_hw: tuple[int, int]) -> Float[Array, "b 2"]:
    """The top-left pixel (y, x) of the window that holds the most motion."""
    sums = window_sums(motion, window_hw)
    best = jnp.argmax(sums.reshape(len(sums), -1), axis=-1)
    return jnp.stack(jnp.divmod(best, sums.shape[-1]), axis=-1).astype(motion.dtype)


def window_sums(motion: Float[Array, "b h w"], window_hw: tuple[int, int]) -> Float[Array, "b rows columns"]:
    """The motion in the window that begins at each pixel, by an integral image."""
    (wh, ww) = window_hw
    integral = jnp.pad(jnp.cumsum(jnp.cumsum(motion, axis=1), axis=2), ((0, 0), (1, 0), (1, 0)))
    return integral[:, wh:, ww:] - integral[:, :-wh, ww:] - integral[:, wh:, :-ww] + integral[:, :-wh, :-ww]


def region_theta(motion: Float[Array, "b h w"], window_hw: tuple[int, int]) -> Float[Array, "b 2 3"]:
    """theta_2: the affine matrix whose region of the image is the window with the most motion."""
    return crop_theta(best_window(motion, window_hw), window_hw, input_hw=motion.shape[1:])
