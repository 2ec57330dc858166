"""KitchenMini's frames as supervised attention sees them: cropped, with the hard-coded region of the crop."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from geoattn_jax.data.crops import centre_crops, random_crops
from geoattn_jax.data.kitchen import CLASS_NAMES, KitchenMini, render_clips, render_frames
from geoattn_jax.data.levels import LEVELS, Level
from geoattn_jax.data.regions import best_window, best_windows, motion_map
from geoattn_jax.data.splits import Split
from geoattn_jax.ops.grid import crop_theta
from geoattn_jax.training import cached_arrays

CLIPS_AT_ONCE = 60  # that are rendered
CAMERA_HW = (1224, 1624)  # of the frames in MPII Cooking
MEAN, STD = 0.5, 0.25  # of the frames' pixels, about
GAIN, CHANNEL_GAIN = 0.2, 0.1  # of the light in training, from 1 minus to 1 plus this


class Pool(NamedTuple):
    """Some frames of every clip of a split, on the device.

    Attributes:
      frames: RGB, 8 bits as in a video file.
      hand, panel: the centres (y, x) of the hand and of the level's panel, pixels of the frame; NaN where
        there is none.
      labels: the clips' classes.
      windows: for every left edge of a crop, 0, 1, ..., the top-left pixel (y, x) of the window with the most
        motion inside that crop, in pixels of the crop.
    """

    frames: UInt8[Array, "n k h w 3"]
    hand: Float[Array, "n k 2"]
    panel: Float[Array, "n k 2"]
    labels: Int[Array, " n"]
    windows: Float[Array, "n crops 2"]


class Samples(NamedTuple):
    """A batch of single frames.

    Attributes:
      frames: RGB, normalized; 0, which is also what lies outside, is middle grey.
      top_left: (y, x) of the crop's first pixel, pixels of the frame.
      theta_2: of the hard-coded region in the crop.
      hand, panel: the centres (y, x) of the hand and of the level's panel, pixels of the crop; NaN where
        there is none. For evaluation and controls.
      labels: the classes.
    """

    frames: Float[Array, "b h w 3"]
    top_left: Int[Array, "b 2"]
    theta_2: Float[Array, "b 2 3"]
    hand: Float[Array, "b 2"]
    panel: Float[Array, "b 2"]
    labels: Int[Array, " b"]


@dataclasses.dataclass(eq=False)  # keeps what it has read
class KitchenFrames:
    """The frames of one level; those of a split are rendered when they are first asked for.

    Attributes:
      level: one of KitchenMini's, or one of the paper's, for which the frames are enlarged to MPII Cooking's
        1624 x 1224 first.
      seed: of the world.
      num_clips: of each split.
      frames_per_clip: how many different frames of a clip training sees; evaluation sees one.
      folder: keeps the hard-coded regions.
    """

    level: Level
    seed: int
    num_clips: Mapping[Split, int]
    frames_per_clip: int
    folder: Path
    _pools: dict[Split, Pool] = dataclasses.field(default_factory=dict, init=False, repr=False)

    channels: ClassVar = 3
    num_classes: ClassVar = len(CLASS_NAMES)

    @property
    def panel_hw(self) -> tuple[float, float]:
        """Height and width of the panel on which the level's own cue is shown, pixels of the level."""
        mini = KitchenMini("train", self.level.name)
        return tuple(
            float(length * size / mini_size)
            for length, size, mini_size in zip(
                mini.panel_hw, self.level.crop_hw, mini.sizes.crop_hw, strict=True
            )
        )

    def training(self, key: PRNGKeyArray, batch_size: int) -> Samples:
        """Random training frames, randomly cropped, in randomly changed light."""
        return _draw(self.level, self._pool("train"), key, batch_size)

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Samples]:
        """One random frame of each clip, always the same one, cropped in the middle; batch by batch."""
        pool = self._pool(split)
        for clips in portions(self.num_clips[split], batch_size):
            top_left = centre_crops(LEVELS[self.level.name], len(clips))
            yield _samples(self.level, pool, clips, np.zeros_like(clips), top_left)

    def motion(
        self, split: Split, clip: int
    ) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"], Float[np.ndarray, "2"]]:
        """The middle crop of a clip's first frame, at KitchenMini's size, and how much its pixels move.

        Returns: the crop, RGB in [0, 1]; its motion map, squared pixels; the hard-coded region's first pixel
          (y, x), pixels of the crop.
        """
        kitchen = KitchenMini(split, self.level.name)
        return tuple(np.asarray(array) for array in _crop_with_motion(kitchen, self.seed, np.int32(clip)))

    def _pool(self, split: Split) -> Pool:
        if split not in self._pools:
            self._pools[split] = self._load(split)
        return self._pools[split]

    def _load(self, split: Split) -> Pool:
        kitchen = KitchenMini(split, self.level.name)
        together = portions(self.num_clips[split], CLIPS_AT_ONCE)

        def find_windows() -> dict[str, np.ndarray]:
            began = time.monotonic()
            windows = np.concatenate([windows_of_crops(kitchen, self.seed, portion) for portion in together])
            return {"windows": windows, "seconds": np.array(time.monotonic() - began)}

        windows = cached_arrays(self.folder / f"windows_{split}.npz", find_windows)["windows"]
        per_clip = self.frames_per_clip if split == "train" else 1
        parts = [_render(kitchen, self.seed, portion, per_clip) for portion in together]
        arrays = (jnp.concatenate(part) for part in zip(*parts, strict=True))
        return Pool(*arrays, windows=jnp.asarray(windows))


@partial(jax.jit, static_argnums=(0, 3))
def _draw(level: Level, pool: Pool, key: PRNGKeyArray, batch_size: int) -> Samples:
    """Random frames in random light."""
    clip_key, frame_key, crop_key, light_key = jax.random.split(key, 4)
    clips = jax.random.randint(clip_key, (batch_size,), 0, len(pool.labels))
    frames = jax.random.randint(frame_key, (batch_size,), 0, pool.frames.shape[1])
    samples = _samples(level, pool, clips, frames, random_crops(crop_key, LEVELS[level.name], batch_size))
    return samples._replace(frames=normalize(change_light(light_key, pixels(samples.frames))))


def change_light(key: PRNGKeyArray, pixels: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Multiplies each frame by a random gain, and each of its channels by another."""
    gains = jax.random.uniform(key, (len(pixels), 1, 1, 4), minval=-1, maxval=1)
    light = (1 + GAIN * gains[..., :1]) * (1 + CHANNEL_GAIN * gains[..., 1:])
    return pixels * light


def normalize(pixels: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Frames with pixels in [0, 1] as the networks get them."""
    return (pixels - MEAN) / STD


def pixels(frames: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Undoes `normalize`."""
    return MEAN + STD * frames


@partial(jax.jit, static_argnums=0)
def _samples(
    level: Level, pool: Pool, clips: Int[Array, " b"], times: Int[Array, " b"], top_left: Int[Array, "b 2"]
) -> Samples:
    """Frames of the pool, cropped at `top_left` of KitchenMini's frames, at the sizes of `level`."""
    mini = LEVELS[level.name]
    frames = normalize(pool.frames[clips, times].astype(jnp.float32) / 255)
    hand, panel = (
        centres[clips, times] - top_left.astype(jnp.float32) for centres in (pool.hand, pool.panel)
    )
    middle = pool.windows[clips, top_left[:, 1]] + jnp.array(mini.window_hw, jnp.float32) / 2
    if level != mini:
        for hw in (CAMERA_HW, level.frame_hw):
            frames = jax.image.resize(frames, (len(frames), *hw, 3), "linear")
        top_left = top_left * level.crop_range // mini.crop_range
    enlargement = jnp.array(level.crop_hw, jnp.float32) / jnp.array(mini.crop_hw, jnp.float32)
    window = middle * enlargement - jnp.array(level.window_hw, jnp.float32) / 2
    return Samples(
        frames=frames,
        top_left=top_left,
        theta_2=crop_theta(window, level.window_hw, input_hw=level.crop_hw),
        hand=(hand + 0.5) * enlargement - 0.5,
        panel=(panel + 0.5) * enlargement - 0.5,
        labels=pool.labels[clips],
    )


@partial(jax.jit, static_argnums=0)
def windows_of_crops(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]
) -> Float[Array, "b crops 2"]:
    """The hard-coded region of every crop of some clips; see `Pool`."""
    return best_windows(motion_map(render_clips(kitchen, seed, indices).flow), kitchen.sizes)


@partial(jax.jit, static_argnums=0)
def _crop_with_motion(
    kitchen: KitchenMini, seed: int | Int[Array, ""], index: Int[Array, ""]
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"], Float[Array, "2"]]:
    level, clips = kitchen.sizes, render_clips(kitchen, seed, index[None])
    columns = slice(level.crop_range // 2, level.crop_range // 2 + level.crop_hw[1])
    motion = motion_map(clips.flow)[:, :, columns]
    return clips.frames[0, 0, :, columns], motion[0], best_window(motion, level.window_hw)[0]


@partial(jax.jit, static_argnums=(0, 3))
def _render(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"], per_clip: int
) -> tuple[UInt8[Array, "b k h w 3"], Float[Array, "b k 2"], Float[Array, "b k 2"], Int[Array, " b"]]:
    """Different frames of each clip, drawn at random."""
    key = jax.random.key(seed)

    def draw(index: Int[Array, ""]) -> Int[Array, " k"]:
        order = jax.random.permutation(jax.random.fold_in(key, index), kitchen.num_frames)
        return order[:per_clip].astype(jnp.int32)

    clips = render_frames(kitchen, seed, indices, jax.vmap(draw)(indices))
    return jnp.round(255 * clips.frames).astype(jnp.uint8), clips.hand, clips.panel, clips.labels


def portions(count: int, size: int) -> list[Int[np.ndarray, " b"]]:
    """The clips 0, 1, ..., `size` at a time."""
    indices = np.arange(count, dtype=np.int32)
    return [indices[start : start + size] for start in range(0, count, size)]
