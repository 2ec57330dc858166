"""A run's training clips and a video file as the only test clip, as one source."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from geoattn_jax.data.flow import FlowMethod, Stream
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource, FrameNumbers, Read


@dataclasses.dataclass(frozen=True, eq=False)
class WithVideo:
    """A `ClipSource` of a run's training clips, and one video as the only test clip.

    Attributes:
      run: the run's data set.
      video: whose test clip is taken.
    """

    run: ClipSource
    video: ClipSource

    @property
    def class_names(self) -> Sequence[str]:
        """See `ClipSource`."""
        return self.run.class_names

    @property
    def class_groups(self) -> Mapping[str, Sequence[int]]:
        """See `ClipSource`."""
        return self.run.class_groups

    @property
    def flow_bound(self) -> float:
        """See `ClipSource`."""
        return self.run.flow_bound

    @property
    def flow_method(self) -> FlowMethod:
        """See `ClipSource`."""
        return self.run.flow_method

    def record(self, known: DataRecord) -> DataRecord:
        """See `ClipSource`."""
        return self.run.record(known)

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return self._of(split).labels(split)

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return self._of(split).lengths(split)

    def read(self, stream: Stream, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Read:
        """See `ClipSource`."""
        return self._of(frames.split).read(stream, frames, top_left)

    def _of(self, split: Split) -> ClipSource:
        return self.video if split == "test" else self.run
