"""The clips of a folder of video files for the six streams."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from geoattn_jax.data.flow import stack_flow
from geoattn_jax.data.levels import LEVELS, Level
from geoattn_jax.data.video_cache import cached_flow, cached_frames, cached_windows
from geoattn_jax.data.video_folder import Split, VideoFolder
from geoattn_jax.experiments.clips import Stream
from geoattn_jax.training.progress import Progress

FLOW_HW = LEVELS["detail"].frame_hw  # at which flow is computed, for all levels
FLOW_BOUND = 8.0  # pixels at any level: of 170, at 25 frames a second, a hand that is quick


@dataclasses.dataclass(frozen=True, eq=False)
class VideoClips:
    """A `ClipSource` of video files, at the sizes of KitchenMini's levels.

    Frames are scaled to a level's size, whatever their shape. Flow is computed at the detail level's size and
    scaled to the others'. All is made when a clip is first asked for, and kept; see `data.video_cache`.

    Attributes:
      videos: the files.
      folder: keeps what is made of them.
      flow_bound: see `ClipSource`.
    """

    videos: VideoFolder
    folder: Path
    flow_bound: float = FLOW_BOUND

    class_groups: ClassVar[Mapping[str, Sequence[int]]] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `ClipSource`."""
        return self.videos.class_names

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return np.array([clip.label for clip in self.videos.clips[split]])

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return np.array([len(frames) for frames in self._arrays[split, "detail", "rgb"]])

    def read(
        self,
        split: Split,
        level: Level,
        stream: Stream,
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b h w c"]:
        """See `ClipSource`."""
        videos = self._arrays[split, level.name, stream]
        pairs = [(videos[clip], time) for clip, time in zip(clips, times, strict=True)]
        if stream == "rgb":
            return np.stack([frames[time] for frames, time in pairs])
        return np.concatenate([stack_flow(flow, np.array([time])) for flow, time in pairs])

    def windows(
        self,
        split: Split,
        level: Level,
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
        top_left: Int[np.ndarray, "b 2"],
    ) -> Float[np.ndarray, "b 2"]:
        """See `ClipSource`."""
        windows = self._arrays[split, level.name, "windows"]
        places = zip(clips, times, top_left[:, 1], strict=True)
        return np.stack([windows[clip][time, left] for clip, time, left in places])

    @cached_property
    def _arrays(
        self,
    ) -> dict[tuple[Split, str, Stream | Literal["windows"]], list[Shaped[np.ndarray, "t ..."]]]:
        """Of each clip of a split, mapped into memory."""
        arrays, progress = {}, Progress()
        clips = [(split, clip.path) for split, clips in self.videos.clips.items() for clip in clips]
        try:
            progress.start("frames, flow and regions of videos", done=0, steps=len(clips), metric="frames")
            for number, (split, path) in enumerate(clips, 1):
                for level in LEVELS.values():
                    for kind, array in self._made(path, level).items():
                        arrays.setdefault((split, level.name, kind), []).append(array)
                progress.update(number, float(len(array)))
        finally:
            progress.close()
        return arrays

    def _made(self, path: Path, level: Level) -> dict[str, Shaped[np.ndarray, "t ..."]]:
        flow = {"compute_hw": FLOW_HW, "bound": self.flow_bound}
        return {
            "rgb": cached_frames(path, self.folder, resize_hw=level.frame_hw),
            "flow": cached_flow(path, self.folder, resize_hw=level.frame_hw, **flow),
            "windows": cached_windows(path, self.folder, level=level, **flow),
        }
