"""Regions that no localizer chose: random crops for pretraining, and those of the controls."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from geoattn_jax.experiments.attention.samples import Samples
from geoattn_jax.ops.coordinates import normalize_coords

Region = Literal["attended", "hard_coded", "oracle"]  # what a recognizer sees
Crops = Literal["jittered", "random"]

CROPS = ("jittered", "random")
JITTER = 1 / 16  # standard deviation in sides of the crop: 8 pixels at KitchenMini's detail level


def recognizer_crops(crops: Crops, samples: Samples, key: PRNGKeyArray) -> Float[Array, "b 2 3"]:
    """The theta of random crops for the recognizer's pretraining, of the hard-coded region's size."""
    shift = samples.theta_2[..., 2]
    if crops == "jittered":
        shift = shift + 2 * JITTER * jax.random.normal(key, shift.shape)
    else:
        room = 1 - samples.theta_2[0, 0, 0]
        shift = room * jax.random.uniform(key, shift.shape, minval=-1, maxval=1)
    return samples.theta_2.at[..., 2].set(shift)


def control_theta(
    region: Region, samples: Samples, aside: Float[Array, "b 2"], crop_hw: tuple[int, int]
) -> Float[Array, "b 2 3"]:
    """The theta of a control's region. The hard-coded one is interpolated as an attended one is, not copied.

    Args:
      region: "hard_coded" or "oracle", around what tells the classes apart.
      samples: the frames.
      aside: how far the hard-coded region lies from theta_2 along x and y, from -1 to 1 for half a pixel.
      crop_hw: height and width of the crop, pixels.
    """
    if region == "oracle":
        return _around_panel(samples, crop_hw)
    return samples.theta_2.at[..., 2].add(aside / jnp.array(crop_hw[::-1], jnp.float32))


def _around_panel(samples: Samples, crop_hw: tuple[int, int]) -> Float[Array, "b 2 3"]:
    """The region around the panel; without one around the hand; without either the hard-coded region."""
    theta = samples.theta_2
    for position in (samples.hand, samples.panel):
        centre = normalize_coords(position, input_hw=crop_hw)
        found = ~jnp.isnan(position[:, :1])
        theta = theta.at[..., 2].set(jnp.where(found, centre, theta[..., 2]))
    return theta
