"""KitchenMini's clips for the six streams: rendered when they are first asked for."""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from geoattn_jax.data.flow import BOUND, STACK, Stream, encode_flow
from geoattn_jax.data.kitchen import (
    CLASS_GROUPS,
    CLASS_NAMES,
    NUM_FRAMES,
    KitchenMini,
    draw_scenes,
    render_clips,
)
from geoattn_jax.data.levels import Level
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.kitchen_windows import kept_windows
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.table_3.sources.protocol import FrameNumbers, Read

CLIPS_AT_ONCE = 20  # that are rendered


class KitchenClips:
    """A `ClipSource` of generated clips, whose flow is the scene's own.

    After a clip's last frame comes its first, so that the stack around every frame holds all of the clip's
    flows. What was rendered is kept as long as the same stream of the same level is read; of the test clips
    only the last ones are. Threads that read wait for one another: what one renders, all see.

    Attributes:
      seed: of the world.
      num_clips: of each split.
      folder: keeps the hard-coded regions.
    """

    class_names: ClassVar = CLASS_NAMES
    class_groups: ClassVar = CLASS_GROUPS
    flow_bound: ClassVar = BOUND / 7  # the levels are a seventh of the paper's
    flow_method: ClassVar = "dis"

    def __init__(self, seed: int, num_clips: Mapping[Split, int], folder: Path):
        self.seed, self.num_clips, self.folder = seed, num_clips, folder
        self._rendered: dict[tuple[Split, str, Stream, int], UInt8[np.ndarray, "n ..."]] = {}
        self._found: dict[tuple[Split, str], Float[np.ndarray, "n crops 2"]] = {}
        self._lock = threading.Lock()

    def record(self, known: DataRecord) -> DataRecord:
        """See `ClipSource`."""
        del known
        return {}

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        indices = np.arange(self.num_clips[split], dtype=np.int32)
        return np.asarray(draw_scenes(KitchenMini(split), self.seed, indices).label)

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return np.full(self.num_clips[split], NUM_FRAMES)

    def read(self, stream: Stream, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Read:
        """See `ClipSource`; the windows are the same for all frames of a clip."""
        with self._lock:
            windows = self._windows(frames.split, frames.level)[frames.clips, top_left[:, 1]]
            return self._pictures(stream, frames), windows

    def _pictures(self, stream: Stream, frames: FrameNumbers) -> UInt8[np.ndarray, "b h w c"]:
        split, level, clips, times = frames
        videos = [self._video(split, level, stream, clip) for clip in clips.tolist()]
        if stream == "rgb":
            return np.stack([video[time] for video, time in zip(videos, times, strict=True)])
        around = (times[:, None] + np.arange(STACK) - STACK // 2) % NUM_FRAMES
        stacks = [video.take(flows, axis=2) for video, flows in zip(videos, around, strict=True)]
        return np.stack(stacks).reshape(len(clips), *level.frame_hw, 2 * STACK)

    def _video(self, split: Split, level: Level, stream: Stream, clip: int) -> UInt8[np.ndarray, "..."]:
        """A clip's frames (t, h, w, 3), or its flows (h, w, t, 2)."""
        portion, place = divmod(clip, CLIPS_AT_ONCE)
        key = split, level.name, stream, portion
        if key not in self._rendered:
            for other in list(self._rendered):
                if other[1:3] != key[1:3] or other[0] == split == "test":
                    del self._rendered[other]
            indices = CLIPS_AT_ONCE * portion + np.arange(CLIPS_AT_ONCE, dtype=np.int32)
            self._rendered[key] = np.asarray(
                _render(KitchenMini(split, level.name), self.seed, indices, stream, self.flow_bound)
            )
        return self._rendered[key][place]

    def _windows(self, split: Split, level: Level) -> Float[np.ndarray, "n crops 2"]:
        key = split, level.name
        if key not in self._found:
            self._found[key] = kept_windows(
                self.folder / level.name / f"windows_{split}.npz",
                KitchenMini(split, level.name),
                self.seed,
                self.num_clips[split],
                clips_at_once=CLIPS_AT_ONCE,
            )
        return self._found[key]


@partial(jax.jit, static_argnums=(0, 3, 4))
def _render(
    kitchen: KitchenMini,
    seed: int | Int[Array, ""],
    indices: Int[Array, " b"],
    stream: Stream,
    bound: float,
) -> UInt8[Array, "b ..."]:
    clips = render_clips(kitchen, seed, indices)
    if stream == "rgb":
        return jnp.round(255 * clips.frames).astype(jnp.uint8)
    return jnp.moveaxis(encode_flow(clips.flow, bound=bound), 1, 3)
