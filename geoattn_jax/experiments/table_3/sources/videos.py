"""The clips of a folder of video files for the six streams."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from geoattn_jax.data.flow import FlowMethod, Stream, check_flow_method, stack_flow
from geoattn_jax.data.levels import LEVELS, Level
from geoattn_jax.data.splits import Split
from geoattn_jax.data.video_cache import cached_flow, cached_frames, cached_windows
from geoattn_jax.data.video_folder import VideoFolder
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.data_record import DataRecord, file_item
from geoattn_jax.experiments.table_3.sources.protocol import FrameNumbers, Read
from geoattn_jax.training.processes import is_first, own_share, wait_for_all
from geoattn_jax.training.progress import Progress

T = TypeVar("T")
OfEveryClip = dict[Split, list[T]]

FLOW_HW = LEVELS["detail"].frame_hw  # at which flow is computed, for all levels
FLOW_BOUND = 8.0  # pixels at any level: of 170, at 25 frames a second, a hand that is quick


class Made(NamedTuple):
    """What is made of a clip for a level, mapped into memory."""

    frames: UInt8[np.ndarray, "t h w 3"]
    flow: UInt8[np.ndarray, "t h w 2"]
    windows: Float[np.ndarray, "t crops 2"]


def check_opencv(flow_method: FlowMethod) -> None:
    """Checks that video files can be read, and their flow be computed by a method.

    Raises: ConfigError if they cannot.
    """
    try:
        check_flow_method(flow_method)
    except ImportError as error:
        raise ConfigError(str(error)) from error


class VideoClips:
    """A `ClipSource` of video files, at the sizes of KitchenMini's levels.

    Frames are scaled to a level's size, whatever their shape. Flow is computed at the detail level's size and
    scaled to the others'. All is made when it is first asked for, by one thread while others wait, and kept;
    see `data.video_cache`.

    Attributes:
      videos: the files.
      folder: keeps what is made of them.
      flow_bound: see `ClipSource`.
      flow_method: how flow is computed, see `data.flow.compute_flow`.
    """

    class_groups: ClassVar[Mapping[str, Sequence[int]]] = {}

    def __init__(
        self,
        videos: VideoFolder,
        folder: Path,
        *,
        flow_bound: float = FLOW_BOUND,
        flow_method: FlowMethod = "dis",
    ):
        self.videos, self.folder = videos, folder
        self.flow_bound, self.flow_method = flow_bound, flow_method
        self._flows: OfEveryClip[UInt8[np.ndarray, "t h w 2"]] | None = None
        self._levels: dict[str, OfEveryClip[Made]] = {}
        self._lock = threading.Lock()

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `ClipSource`."""
        return self.videos.class_names

    def record(self, known: DataRecord) -> DataRecord:
        """See `ClipSource`."""
        paths = {clip.path for clips in self.videos.clips.values() for clip in clips}
        root = os.path.commonpath([path.absolute().parent for path in paths])
        record = {}
        for split, clips in self.videos.clips.items():
            record[split] = {}
            for path, label in clips:
                name = str(path.absolute().relative_to(root))
                content = file_item(path, known.get(split, {}).get(name))
                record[split][name] = {"class": self.class_names[label], **content}
        return record

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return np.array([clip.label for clip in self.videos.clips[split]])

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        with self._lock:
            flows = self._computed_flows()[split]
        return np.array([len(flow) for flow in flows])

    def read(self, stream: Stream, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Read:
        """See `ClipSource`."""
        with self._lock:
            made = self._made(frames.level)[frames.split]
        pairs = [(made[clip], time) for clip, time in zip(frames.clips, frames.times, strict=True)]
        windows = [one.windows[time, left] for (one, time), left in zip(pairs, top_left[:, 1], strict=True)]
        if stream == "rgb":
            pictures = [one.frames[time] for one, time in pairs]
        else:
            pictures = [stack_flow(one.flow, np.array([time]))[0] for one, time in pairs]
        return np.stack(pictures), np.stack(windows)

    def _computed_flows(self) -> OfEveryClip[UInt8[np.ndarray, "t h w 2"]]:
        """At the size at which they are computed."""
        if self._flows is None:
            flow = partial(cached_flow, folder=self.folder, **self._of_flow())
            self._flows = self._of_every_clip("flow", flow)
        return self._flows

    def _of_flow(self) -> dict[str, Any]:
        return {"compute_hw": FLOW_HW, "bound": self.flow_bound, "method": self.flow_method}

    def _made(self, level: Level) -> OfEveryClip[Made]:
        if level.name not in self._levels:
            flow = self._of_flow()

            def make(path: Path) -> Made:
                return Made(
                    cached_frames(path, self.folder, resize_hw=level.frame_hw),
                    cached_flow(path, self.folder, resize_hw=level.frame_hw, **flow),
                    cached_windows(path, self.folder, level=level, **flow),
                )

            self._levels[level.name] = self._of_every_clip(f"{level.name}, frames and regions", make)
        return self._levels[level.name]

    def _of_every_clip(self, what: str, make: Callable[[Path], T]) -> OfEveryClip[T]:
        clips = [(split, clip.path) for split, clips in self.videos.clips.items() for clip in clips]
        own = own_share([path for _, path in clips])
        progress = Progress(shows=is_first())
        try:
            began = time.monotonic()
            progress.start(f"{what} of videos", done=0, steps=len(own), metric="seconds")
            for number, path in enumerate(own, 1):
                make(path)
                progress.update(number, time.monotonic() - began)
        finally:
            progress.close()
        wait_for_all(f"{what} of videos")
        made = {split: [] for split in self.videos.clips}
        for split, path in clips:
            made[split].append(make(path))
        return made
