"""The hard-coded regions of KitchenMini's clips."""

from functools import partial

import jax
from jaxtyping import Array, Float, Int

from geoattn_jax.data.kitchen import KitchenMini, render_clips
from geoattn_jax.data.regions import best_windows, motion_map


@partial(jax.jit, static_argnums=0)
def windows_of_crops(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]
) -> Float[Array, "b crops 2"]:
    """The region R_h of every crop of some clips, from the motion of their own flow.

    Args:
      kitchen: one split at one level.
      seed: of the world.
      indices: the clips' numbers.

    Returns: for every left edge of a crop, 0, 1, ..., the top-left pixel (y, x) of the window with the most
      motion inside that crop, pixels of the crop.
    """
    return best_windows(motion_map(render_clips(kitchen, seed, indices).flow), kitchen.sizes)
