"""KitchenMini's frames as supervised attention sees them: cropped, with the hard-coded region of the crop."""

import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from geoattn_jax.data.crops import centre_crops, random_crops
from geoattn_jax.data.kitchen import KitchenMini, render_clips, render_frames
from geoattn_jax.data.levels import Level
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.ops.grid import crop_theta

CLIPS_AT_ONCE = 60  # divides the number of clips of every split


class Frames(NamedTuple):
    """Some frames of every clip of a split, on the device.

    Attributes:
      frames: RGB, 8 bits as in a video file.
      hand: (y, x), pixels of the frame; NaN where there is none.
      labels: the clips' classes.
      windows: for every left edge of a crop, 0, 1, ..., the top-left pixel (y, x) of the window with the most
        motion inside that crop, in pixels of the crop.
    """

    frames: UInt8[Array, "n k h w 3"]
    hand: Float[Array, "n k 2"]
    labels: Int[Array, " n"]
    windows: Float[Array, "n crops 2"]


class Samples(NamedTuple):
    """A batch of single frames.

    Attributes:
      frames: RGB, 0 is middle grey; so is what lies outside.
      top_left: (y, x) of the crop's first pixel, pixels of the frame.
      theta_2: of the hard-coded region in the crop.
      hand: (y, x), pixels of the crop; NaN where there is none.
      labels: the classes.
    """

    frames: Float[Array, "b h w 3"]
    top_left: Int[Array, "b 2"]
    theta_2: Float[Array, "b 2 3"]
    hand: Float[Array, "b 2"]
    labels: Int[Array, " b"]


def find_windows(kitchen: KitchenMini, seed: int) -> dict[str, np.ndarray]:
    """`Frames.windows` of every clip, and the `seconds` that it took to find them."""
    began = time.monotonic()
    windows = [_windows(kitchen, seed, indices) for indices in _portions(kitchen)]
    return {"windows": np.concatenate(windows), "seconds": np.array(time.monotonic() - began)}


def render_pool(
    kitchen: KitchenMini, seed: int, windows: Float[np.ndarray, "n crops 2"], *, per_clip: int
) -> Frames:
    """Renders `per_clip` different frames, drawn at random, of every clip."""
    parts = [_render(kitchen, seed, indices, per_clip) for indices in _portions(kitchen)]
    frames, hand, labels = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    return Frames(frames, hand, labels, jnp.asarray(windows))


@partial(jax.jit, static_argnums=(0, 3))
def training_samples(level: Level, pool: Frames, key: PRNGKeyArray, batch_size: int) -> Samples:
    """Frames at random, randomly cropped, in randomly changed light.

    The light: a gain for the whole frame, from 0.8 to 1.2, and one for each channel, from 0.9 to 1.1.
    """
    clip_key, frame_key, crop_key, light_key = jax.random.split(key, 4)
    clips = jax.random.randint(clip_key, (batch_size,), 0, len(pool.labels))
    frames = jax.random.randint(frame_key, (batch_size,), 0, pool.frames.shape[1])
    samples = _samples(level, pool, clips, frames, random_crops(crop_key, level, batch_size))
    gains = jax.random.uniform(light_key, (batch_size, 1, 1, 4), minval=-1, maxval=1)
    light = (1 + 0.2 * gains[..., :1]) * (1 + 0.1 * gains[..., 1:])
    return samples._replace(frames=(samples.frames + 0.5) * light - 0.5)


@partial(jax.jit, static_argnums=0)
def evaluation_samples(level: Level, pool: Frames, clips: Int[Array, " b"]) -> Samples:
    """The pool's first frame of some clips, cropped in the middle."""
    return _samples(level, pool, clips, jnp.zeros_like(clips), centre_crops(level, len(clips)))


def _samples(
    level: Level,
    pool: Frames,
    clips: Int[Array, " b"],
    frames: Int[Array, " b"],
    top_left: Int[Array, "b 2"],
) -> Samples:
    theta_2 = crop_theta(pool.windows[clips, top_left[:, 1]], level.window_hw, input_hw=level.crop_hw)
    return Samples(
        frames=pool.frames[clips, frames].astype(jnp.float32) / 255 - 0.5,
        top_left=top_left,
        theta_2=theta_2,
        hand=pool.hand[clips, frames] - top_left.astype(jnp.float32),
        labels=pool.labels[clips],
    )


def _portions(kitchen: KitchenMini) -> Int[np.ndarray, "portions clips"]:
    return np.arange(kitchen.num_clips, dtype=np.int32).reshape(-1, CLIPS_AT_ONCE)


@partial(jax.jit, static_argnums=0)
def _windows(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]
) -> Float[Array, "b crops 2"]:
    level = kitchen.level_sizes
    motion = motion_map(render_clips(kitchen, seed, indices).flow)

    def in_crop(left: Int[Array, ""]) -> Float[Array, "b 2"]:
        crop = jax.lax.dynamic_slice_in_dim(motion, left, level.crop_hw[1], axis=2)
        return best_window(crop, level.window_hw)

    return jnp.moveaxis(jax.lax.map(in_crop, jnp.arange(level.crop_range + 1)), 0, 1)


@partial(jax.jit, static_argnums=(0, 3))
def _render(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"], per_clip: int
) -> tuple[UInt8[Array, "b k h w 3"], Float[Array, "b k 2"], Int[Array, " b"]]:
    key = jax.random.key(seed)

    def draw(index: Int[Array, ""]) -> Int[Array, " k"]:
        order = jax.random.permutation(jax.random.fold_in(key, index), kitchen.num_frames)
        return order[:per_clip].astype(jnp.int32)

    clips = render_frames(kitchen, seed, indices, jax.vmap(draw)(indices))
    return jnp.round(255 * clips.frames).astype(jnp.uint8), clips.hand, clips.labels
