"""What the six streams need of a data set: labelled clips, each frame in colour or as the flow around it.

A data set takes part by a class with `ClipSource`'s methods. They are called on the host, with NumPy arrays
in and out, several at a time from several threads; what is read from disk, rendered or kept in memory is the
class's own matter.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from geoattn_jax.data.flow import STACK, FlowMethod, Stream
from geoattn_jax.data.levels import Level
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.core.data_record import DataRecord

Read = tuple[UInt8[np.ndarray, "b h w c"], Float[np.ndarray, "b 2"]]  # see `ClipSource.read`

CHANNELS = {"rgb": 3, "flow": 2 * STACK}


class FrameNumbers(NamedTuple):
    """Some frames of a data set.

    Attributes:
      split: whose clips.
      level: at whose frame_hw.
      clips: the number of each frame's clip, from 0.
      times: its own number in the clip, from 0.
    """

    split: Split
    level: Level
    clips: Int[np.ndarray, " b"]
    times: Int[np.ndarray, " b"]


@runtime_checkable
class ClipSource(Protocol):
    """Clips of a data set.

    Attributes:
      class_names: by label.
      class_groups: labels of classes whose average precision is to be told as a group's, by the group's name;
        may be empty.
      flow_bound: what the ends of the encoded flow stand for, pixels of the level.
      flow_method: by which that of a further video is to be computed.
    """

    class_names: Sequence[str]
    class_groups: Mapping[str, Sequence[int]]
    flow_bound: float
    flow_method: FlowMethod

    def record(self, known: DataRecord) -> DataRecord:
        """What identifies the clips, given what an earlier run recorded; {} if they are generated."""

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """The class of each clip."""

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """How many frames each clip has, at least one."""

    def read(self, stream: Stream, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Read:
        """Some frames at the level's frame_hw, and R_h of a crop of each.

        R_h is the window with the most motion inside the crop, see `data.regions`; the motion is that of the
        flows around the frame. Both are asked for at once, so that these flows are decoded once.

        Args:
          stream: as what.
          frames: which.
          top_left: the first pixel (y, x) of the crop, pixels of the frame.

        Returns: for "rgb" RGB; for "flow" the flows around each frame as `data.flow.stack_flow` gives
          them, encoded, pixels of the level. And the window's top-left pixel (y, x), pixels of the crop.
        """
