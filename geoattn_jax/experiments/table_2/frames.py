"""KitchenMini's frames as Table 2 sees them: cropped, with the hard-coded region of the crop."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8, UInt32

from geoattn_jax.data.crops import centre_crops, random_crops
from geoattn_jax.data.kitchen import CLASS_NAMES, KitchenMini, render_clips, render_frames
from geoattn_jax.data.levels import LEVELS, Level
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.kitchen_windows import kept_windows
from geoattn_jax.experiments.attention.samples import (
    LIGHT_SPANS,
    Samples,
    normalize,
    pixels,
    relit,
)
from geoattn_jax.ops.coordinates import rescale_coords
from geoattn_jax.ops.grid import crop_theta
from geoattn_jax.training.devices import Rows, on_all_devices

CLIPS_AT_ONCE = 60  # that a device renders
CAMERA_HW = (1224, 1624)  # of the frames in MPII Cooking


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


class KitchenFrames:
    """The frames of one level; those of a split are rendered when they are first asked for, and then kept.

    Attributes:
      level: one of KitchenMini's, or one of the paper's, for which the frames are enlarged to MPII Cooking's
        1624 x 1224 first.
      seed: of the world.
      num_clips: of each split.
      frames_per_clip: how many different frames of a clip training sees; evaluation sees one.
      folder: keeps the hard-coded regions.
    """

    channels: ClassVar = 3
    num_classes: ClassVar = len(CLASS_NAMES)
    reads_ahead: ClassVar = 0

    def __init__(
        self, level: Level, seed: int, num_clips: Mapping[Split, int], *, frames_per_clip: int, folder: Path
    ):
        self.level, self.seed, self.num_clips = level, seed, num_clips
        self.frames_per_clip, self.folder = frames_per_clip, folder
        self._pools: dict[Split, Pool] = {}

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

    def training(self, draw: tuple[int, int, int], batch_size: int, rows: Rows) -> Samples:
        """Random training frames, randomly cropped, in randomly changed light; see `FrameSource`."""
        return _draw(self.level, self._pool("train"), np.array(draw, np.uint32), batch_size, rows)

    def num_samples(self, split: Split) -> int:
        """As many as clips."""
        return self.num_clips[split]

    def evaluation(self, split: Split, rows: Rows) -> Samples:
        """One random frame of each of some clips, always the same one, cropped in the middle."""
        clips = rows.astype(np.int32)
        top_left = centre_crops(LEVELS[self.level.name], len(clips))
        return _samples(self.level, self._pool(split), clips, np.zeros_like(clips), top_left)

    def prepare(self, batch: Samples) -> Samples:
        """Nothing is left to do."""
        return batch

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
        kitchen, count = KitchenMini(split, self.level.name), self.num_clips[split]
        kept = self.folder / f"windows_{split}.npz"
        windows = kept_windows(kept, kitchen, self.seed, count, clips_at_once=CLIPS_AT_ONCE)
        per_clip = self.frames_per_clip if split == "train" else 1
        parts = on_all_devices(
            lambda seed, clips: _render(kitchen, seed, clips, per_clip),
            np.int32(self.seed),
            lambda rows: rows.astype(np.int32),
            count=count,
            batch_size=CLIPS_AT_ONCE,
        )
        arrays = (jnp.asarray(np.concatenate(part)) for part in zip(*parts, strict=True))
        return Pool(*arrays, windows=jnp.asarray(windows))


@partial(jax.jit, static_argnums=(0, 3))
def _draw(
    level: Level, pool: Pool, draw: UInt32[Array, "3"], batch_size: int, rows: Int[Array, " r"]
) -> Samples:
    """Some of a batch of random frames in random light. Numbers are drawn for all, frames made of these."""
    seed, phase, step = draw
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), phase), step)
    clip_key, frame_key, crop_key, light_key = jax.random.split(key, 4)
    clips = jax.random.randint(clip_key, (batch_size,), 0, len(pool.labels))[rows]
    frames = jax.random.randint(frame_key, (batch_size,), 0, pool.frames.shape[1])[rows]
    crops = random_crops(crop_key, LEVELS[level.name], batch_size)[rows]
    samples = _samples(level, pool, clips, frames, crops)
    light = 1 + LIGHT_SPANS * jax.random.uniform(light_key, (batch_size, 1, 1, 4), minval=-1, maxval=1)
    return samples._replace(frames=normalize(relit(pixels(samples.frames), light[rows])))


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
    to_middle = [(jnp.array(one.window_hw, jnp.float32) - 1) / 2 for one in (mini, level)]
    middle = pool.windows[clips, top_left[:, 1]] + to_middle[0]
    if level != mini:
        for hw in (CAMERA_HW, level.frame_hw):
            frames = jax.image.resize(frames, (len(frames), *hw, 3), "linear")
        top_left = top_left * level.crop_range // mini.crop_range
    middle, hand, panel = (
        rescale_coords(places, from_hw=mini.crop_hw, to_hw=level.crop_hw) for places in (middle, hand, panel)
    )
    return Samples(
        frames=frames,
        top_left=top_left,
        theta_2=crop_theta(middle - to_middle[1], level.window_hw, input_hw=level.crop_hw),
        hand=hand,
        panel=panel,
        labels=pool.labels[clips],
        clips=clips,
        times=times,
    )


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
