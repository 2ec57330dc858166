"""MPII Cooking Activities' clips for the six streams, read from the prepared data set when asked for."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from ml_collections import config_dict

from geoattn_jax.data.flow import LEVELS, STILL, FlowMethod, Stream
from geoattn_jax.data.levels import Level
from geoattn_jax.data.mpii_annotations import Protocol, subjects_of
from geoattn_jax.data.mpii_records import MpiiRecords
from geoattn_jax.data.regions import best_window_on_host
from geoattn_jax.data.splits import Split
from geoattn_jax.data.video import import_opencv, resize_image
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.table_3.sources.protocol import CHANNELS, FrameNumbers, Read

VALIDATION_CLIPS = 200  # training clips that are looked at between updates; the data set has no others


def mpii_data(size: str) -> dict[str, Any]:
    """A config's settings of the data, from which users depart.

    Args:
      size: of the frames that are kept, see `mpii_cooking.cooking_config`.
    """
    return {
        "source": "mpii_cooking",
        "size": size,
        "stride": 4,
        "background": True,
        "flow_method": "dis",
        "protocol": "fixed",
        "data_dir": config_dict.placeholder(str),  # TFDS's own by default, and its downloads/manual
        "manual_dir": config_dict.placeholder(str),
    }


class MpiiClips:
    """A `ClipSource` whose frames are read and decoded by as many threads as there are cores.

    Attributes:
      records: of each split.
    """

    class_groups: ClassVar = {}

    def __init__(self, records: Mapping[Split, MpiiRecords]):
        self.records = records
        self._threads = ThreadPoolExecutor(os.cpu_count())

    @classmethod
    def of_protocol(cls, builder: Any, protocol: Protocol) -> "MpiiClips":
        """The clips of the protocol's subjects; for validation some training clips, evenly spaced.

        Args:
          builder: a prepared `MpiiCooking`.
          protocol: see `subjects_of`.
        """
        train, test = (
            MpiiRecords.of_subjects(builder, subjects_of(protocol, split)) for split in ("train", "test")
        )
        some = np.unique(np.linspace(0, len(train) - 1, VALIDATION_CLIPS).round().astype(int))
        validation = MpiiRecords(builder, [train.clips[number] for number in some])
        return cls({"train": train, "validation": validation, "test": test})

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `ClipSource`."""
        return self.records["train"].class_names

    @property
    def flow_bound(self) -> float:
        """See `ClipSource`."""
        return self.records["train"].flow_bound

    @property
    def flow_method(self) -> FlowMethod:
        """See `ClipSource`."""
        return self.records["train"].flow_method

    def record(self, known: DataRecord) -> DataRecord:
        """See `ClipSource`."""
        del known
        return {split: {"clips": {"digest": _digest(records)}} for split, records in self.records.items()}

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return self.records[split].labels

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return self.records[split].lengths

    def read(self, stream: Stream, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Read:
        """See `ClipSource`; each frame in a thread, which fills its part of the batch.

        The motion is scaled to the level, not the flows, which would take longer.
        """
        split, level, clips, times = frames
        pictures = np.empty((len(clips), *level.frame_hw, CHANNELS[stream]), np.uint8)
        windows = np.empty((len(clips), 2), np.float32)

        def read_one(number: int, clip: int, time: int) -> None:
            flows = self.records[split].flow_around(clip, time)
            windows[number] = _window(flows, top_left[number], level)
            if stream == "rgb":
                pictures[number] = self._frame(split, level, clip, time)
            else:
                _stack(flows, out=pictures[number])

        list(self._threads.map(read_one, range(len(clips)), clips.tolist(), times.tolist()))
        return pictures, windows

    def _frame(self, split: Split, level: Level, clip: int, time: int) -> UInt8[np.ndarray, "h w 3"]:
        (frame,) = self.records[split].frames(clip, np.array([time]))
        if frame.shape[0] < level.frame_hw[0]:
            raise ConfigError(
                f"config.data.size must be that of the largest level: frames are kept at {frame.shape[:2]}, "
                f"and level {level.name!r} needs {level.frame_hw}"
            )
        return resize_image(frame, level.frame_hw)


def _digest(records: MpiiRecords) -> str:
    """Of the data set's name, version and kind, and of where its clips are."""
    clips = [dataclasses.asdict(clip) for clip in records.clips]
    return hashlib.sha256(json.dumps([records.builder.info.full_name, clips]).encode()).hexdigest()


def _window(
    flows: UInt8[np.ndarray, "l 2 h w"], top_left: Int[np.ndarray, "2"], level: Level
) -> Float[np.ndarray, "2"]:
    """R_h of a frame's crop, from the flows around the frame."""
    top, left = top_left.tolist()
    height, width = level.crop_hw
    motion = resize_image(_motion(flows, level.frame_hw), level.frame_hw)
    return best_window_on_host(motion[top : top + height, left : left + width], level.window_hw)


def _motion(flows: UInt8[np.ndarray, "l 2 h w"], scaled_hw: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """The motion map of frames scaled to another size, but for a factor; see `regions.motion_map`.

    The sums over the flows are of whole numbers, and exact in float32.
    """
    cv2 = import_opencv()
    length, _, height, width = flows.shape
    squares, sums = np.zeros((2, 2 * height, width), np.float32)
    for flow in flows.reshape(length, 2 * height, width):
        cv2.accumulateSquare(flow, squares)
        cv2.accumulate(flow, sums)
    moved = squares - 2 * STILL * sums + length * STILL**2
    along_y, along_x = np.square(_ratios(flows, scaled_hw))
    return along_y * moved[:height] + along_x * moved[height:]


def _stack(flows: UInt8[np.ndarray, "l 2 h w"], out: UInt8[np.ndarray, "oh ow c"]) -> None:
    """Stacks flows at another size: pictures are resized, and their values with them."""
    cv2 = import_opencv()
    codes = [_scaled_codes(along) for along in _ratios(flows, out.shape[:2]).tolist()]
    planes = [cv2.LUT(plane, along) for flow in flows for plane, along in zip(flow, codes, strict=True)]
    # Four channels at a time: OpenCV has fast code for these, and a pixel of them is copied as one number.
    stack = out.view(np.uint32)
    for number in range(stack.shape[-1]):
        scaled = resize_image(cv2.merge(planes[4 * number : 4 * number + 4]), out.shape[:2])
        stack[..., number] = scaled.view(np.uint32)[..., 0]


def _ratios(flows: UInt8[np.ndarray, "l 2 h w"], scaled_hw: tuple[int, int]) -> Float[np.ndarray, "2"]:
    """By how much flows grow when frames are scaled; along y and x."""
    return np.divide(scaled_hw, flows.shape[2:], dtype=np.float32)


@cache
def _scaled_codes(ratio: float) -> UInt8[np.ndarray, "256"]:
    """What encoded flows, 0 to 255, become when they grow."""
    levels = np.round(np.clip(ratio * (np.arange(256) - STILL), -LEVELS, LEVELS))
    return (levels + STILL).astype(np.uint8)
