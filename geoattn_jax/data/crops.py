"""Square crops along a frame's longer side, and mirrored videos (Liu et al. 2019, section 3.3)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.levels import Level
from geoattn_jax.ops.checks import check_pair


def random_crops(key: PRNGKeyArray, level: Level, batch: int) -> Int[Array, "batch 2"]:
    """The top-left pixels (y, x) of a crop for each video, anywhere along the frame; for training."""
    left = jax.random.randint(key, (batch,), 0, level.crop_range + 1, jnp.int32)
    return jnp.stack([jnp.zeros_like(left), left], axis=-1)


def centre_crops(level: Level, batch: int) -> Int[Array, "batch 2"]:
    """The top-left pixels (y, x) of the crop in the middle of the frame; for evaluation."""
    return jnp.tile(jnp.array([0, level.crop_range // 2], jnp.int32), (batch, 1))


def crop(
    video: Float[Array, "b *t h w c"], top_left: Int[Array, "b 2"], crop_hw: tuple[int, int]
) -> Float[Array, "b *t ch cw c"]:
    """Cuts the same crop out of every frame of a video.

    Args:
      video: frames or flows, or motion maps with a channel added.
      top_left: the crop's first pixel, (y, x), for each video; a crop that would reach beyond the frame is
        moved inside.
      crop_hw: the crop's height and width, pixels.

    Raises: ValueError if crop_hw is not two whole numbers that fit into the frames.
    """
    check_pair("crop", "crop_hw", crop_hw, minimum=1)
    if any(size > whole for size, whole in zip(crop_hw, video.shape[-3:-1], strict=True)):
        raise ValueError(
            f"crop: crop_hw must fit into frames of {video.shape[-3:-1]} pixels, got {tuple(crop_hw)}; "
            f"scale the frames to the level's frame_hw first"
        )

    def cut(one: Float[Array, "*t h w c"], start: Int[Array, "2"]) -> Float[Array, "*t ch cw c"]:
        leading = one.ndim - 3
        starts = (*(0,) * leading, start[0], start[1], 0)
        return jax.lax.dynamic_slice(one, starts, (*one.shape[:leading], *crop_hw, one.shape[-1]))

    return jax.vmap(cut)(video, top_left)
