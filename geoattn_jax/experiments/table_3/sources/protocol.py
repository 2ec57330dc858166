"""What the six streams need of a data set: labelled clips, each frame in colour or as the flow around it.

A data set takes part by a class with `ClipSource`'s methods. They are called on the host, with NumPy arrays
in and out; what is read from disk, rendered or kept in memory is the class's own matter.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from geoattn_jax.data.crops import crop
from geoattn_jax.data.flow import STACK, FlowMethod, Stream, decode_flow
from geoattn_jax.data.levels import Level
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.core.data_record import DataRecord

CHANNELS = {"rgb": 3, "flow": 2 * STACK}


@runtime_checkable
class ClipSource(Protocol):
    """Clips of a data set.

    A split's clips are numbered from 0, a clip's frames too.

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

    def read(
        self,
        split: Split,
        level: Level,
        stream: Stream,
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b h w c"]:
        """Some frames at the level's frame_hw.

        Args:
          split, level, stream: which.
          clips: the clips' numbers.
          times: the number of a frame in each of them.

        Returns: for "rgb" RGB; for "flow" the flows around each frame as `data.flow.stack_flow` gives
          them, encoded, pixels of the level.
        """

    def windows(
        self,
        split: Split,
        level: Level,
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
        top_left: Int[np.ndarray, "b 2"],
    ) -> Float[np.ndarray, "b 2"]:
        """R_h: the window with the most motion inside each frame's crop, see `motion_windows`.

        Args:
          split, level, clips, times: as for `read`.
          top_left: the first pixel (y, x) of the crop, pixels of the frame.

        Returns: the window's top-left pixel (y, x), pixels of the crop.
        """


@partial(jax.jit, static_argnames=("level", "bound"))
def motion_windows(
    stacks: UInt8[Array, "b h w c"], top_left: Int[Array, "b 2"], *, level: Level, bound: float
) -> Float[Array, "b 2"]:
    """The hard-coded regions of some frames, from the flows around them (Liu et al. 2019, Eq. 2).

    Args:
      stacks: encoded flows around each frame, as `ClipSource.read` gives them.
      top_left: the first pixel (y, x) of each frame's crop, pixels of the frame.
      level: its crop_hw and window_hw count.
      bound: as the flows were encoded with.

    Returns: the window's top-left pixel (y, x), pixels of the crop.
    """
    flow = decode_flow(stacks.reshape(*stacks.shape[:3], -1, 2), bound=bound)
    motion = crop(motion_map(jnp.moveaxis(flow, 3, 1))[..., None], top_left, level.crop_hw)
    return best_window(motion[..., 0], level.window_hw)
