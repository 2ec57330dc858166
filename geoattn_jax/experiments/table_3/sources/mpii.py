"""MPII Cooking Activities' clips for the six streams, read from the prepared data set when asked for."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from ml_collections import config_dict

from geoattn_jax.data.crops import crop
from geoattn_jax.data.flow import FlowMethod, Stream, decode_flow, encode_flow
from geoattn_jax.data.levels import Level
from geoattn_jax.data.mpii_annotations import Protocol, subjects_of
from geoattn_jax.data.mpii_records import MpiiRecords
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.data.splits import Split
from geoattn_jax.data.video import import_opencv, resize_image
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.table_3.sources.protocol import FrameNumbers

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

    def read(self, stream: Stream, frames: FrameNumbers) -> UInt8[np.ndarray, "b h w c"]:
        """See `ClipSource`."""
        split, level, clips, times = frames
        read_one = {"rgb": self._frame, "flow": self._scaled_stack}[stream]
        return self._map(partial(read_one, split, level), clips, times)

    def windows(self, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Float[np.ndarray, "b 2"]:
        """See `ClipSource`; the motion is scaled to the level, not the flows, which would take longer."""
        stacks = self._map(self.records[frames.split].flow_around, frames.clips, frames.times)
        return np.asarray(_windows(stacks, top_left, level=frames.level, bound=self.flow_bound))

    def _map(
        self,
        read_one: Callable[[int, int], np.ndarray],
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b h w c"]:
        return np.stack(list(self._threads.map(read_one, clips.tolist(), times.tolist())))

    def _frame(self, split: Split, level: Level, clip: int, time: int) -> UInt8[np.ndarray, "h w 3"]:
        (frame,) = self.records[split].frames(clip, np.array([time]))
        if frame.shape[0] < level.frame_hw[0]:
            raise ConfigError(
                f"config.data.size must be that of the largest level: frames are kept at {frame.shape[:2]}, "
                f"and level {level.name!r} needs {level.frame_hw}"
            )
        return resize_image(frame, level.frame_hw)

    def _scaled_stack(self, split: Split, level: Level, clip: int, time: int) -> UInt8[np.ndarray, "h w c"]:
        """The flows around a frame at the level's size: pictures are resized, and their values with them."""
        stack = self.records[split].flow_around(clip, time)
        codes = _scaled_codes(stack.shape[:2], level.frame_hw, self.flow_bound)
        lookup = import_opencv().LUT
        pairs = np.split(stack, stack.shape[-1] // 2, axis=-1)
        return np.concatenate([lookup(resize_image(pair, level.frame_hw), codes) for pair in pairs], axis=-1)


def _digest(records: MpiiRecords) -> str:
    """Of the data set's name, version and kind, and of where its clips are."""
    clips = [dataclasses.asdict(clip) for clip in records.clips]
    return hashlib.sha256(json.dumps([records.builder.info.full_name, clips]).encode()).hexdigest()


@cache
def _scaled_codes(
    hw: tuple[int, int], scaled_hw: tuple[int, int], bound: float
) -> UInt8[np.ndarray, "1 256 2"]:
    """What encoded flows, 0 to 255, become when frames are scaled; along y and x."""
    flows = decode_flow(np.arange(256, dtype=np.uint8), bound=bound)
    ratios = np.divide(scaled_hw, hw).astype(np.float32)
    return np.asarray(encode_flow(flows[:, None] * ratios, bound=bound))[None]


@partial(jax.jit, static_argnames=("level", "bound"))
def _windows(
    stacks: UInt8[Array, "b h w c"], top_left: Int[Array, "b 2"], *, level: Level, bound: float
) -> Float[Array, "b 2"]:
    flow = decode_flow(stacks.reshape(*stacks.shape[:3], -1, 2), bound=bound)
    ratios = jnp.array(level.frame_hw, jnp.float32) / jnp.array(stacks.shape[1:3], jnp.float32)
    motion = motion_map(jnp.moveaxis(flow * ratios, 3, 1))[..., None]
    motion = jax.image.resize(motion, (len(stacks), *level.frame_hw, 1), "linear")
    return best_window(crop(motion, top_left, level.crop_hw)[..., 0], level.window_hw)
