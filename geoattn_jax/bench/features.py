"""How fast FC6 features come from all frames of clips that are in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import optax
from jaxtyping import Int

from geoattn_jax.bench.suite import OURS, Case, Contender, Suite
from geoattn_jax.data.flow import Stream, stack_flow
from geoattn_jax.data.levels import LEVELS, Level
from geoattn_jax.experiments.attention.task import AttentionTask
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.table_3.features import Trained, extract_features
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.experiments.table_3.sources.protocol import FrameNumbers, Read
from geoattn_jax.models.small import SMALL, SMALL_WIDE
from geoattn_jax.models.sstn import SSTN

CLIPS, FRAMES = 60, 10
BATCH_SIZE = 60

METHOD = """\
`extract_features` of 60 clips of 10 frames, 128x170 pixels, as `configs/table_b3.py` uses it at the detail
level: frames, or the ten flows around each, are read from memory in 8 bits and normalized, the small
localizer chooses the region and the recognizer's FC6 is kept. A time of t ms means 600,000 / t frames per
second."""

WORKLOADS: dict[Stream, str] = {
    "rgb": "frames in colour",
    "flow": "stacks of ten flows, 20 channels",
}


class ClipsInMemory:
    """A `ClipSource` of noise."""

    class_names = ("noise",)
    class_groups: ClassVar[Mapping[str, Sequence[int]]] = {}
    flow_bound = 1.0
    flow_method = "dis"

    def __init__(self, level: Level, count: int):
        random = np.random.default_rng(0)
        self._frames, self._flows = (
            random.integers(0, 256, (count, FRAMES, *level.frame_hw, channels), np.uint8)
            for channels in (3, 2)
        )

    def record(self, known: DataRecord) -> DataRecord:
        """See `ClipSource`."""
        del known
        return {}

    def labels(self, split: str) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return np.zeros(len(self._frames), int)

    def lengths(self, split: str) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return np.full(len(self._frames), FRAMES)

    def read(self, stream: Stream, frames: FrameNumbers, top_left: Int[np.ndarray, "b 2"]) -> Read:
        """See `ClipSource`; R_h lies in the crops' corners."""
        windows = np.zeros(top_left.shape, np.float32)
        if stream == "rgb":
            return self._frames[frames.clips, frames.times], windows
        pairs = zip(frames.clips, frames.times, strict=True)
        stacks = [stack_flow(self._flows[clip], np.array([time])) for clip, time in pairs]
        return np.concatenate(stacks), windows


def cases(names: Sequence[Stream], smoke: bool) -> Iterator[Case]:
    """The cases of the named streams; a few small frames if `smoke`."""
    level = LEVELS["general" if smoke else "detail"]
    source = ClipsInMemory(level, 2 if smoke else CLIPS)
    for name in names:
        frames = StreamFrames(source, level, name)
        networks = SMALL(None), SMALL_WIDE(1)
        task = AttentionTask(
            model=SSTN(*networks, crop_hw=level.crop_hw, region_hw=level.window_hw),
            frames=frames,
            batch_size=1,
            sub_batches=1,
            evaluation_batch=BATCH_SIZE,
            optimizer=optax.sgd,
        )
        models = {"features": Trained(task, task.initial(0), "attended")}

        def call(frames=frames, models=models) -> np.ndarray:
            _, *batches = extract_features(frames, "test", models, batch_size=BATCH_SIZE)
            return np.concatenate([batch["features"] for batch in batches])

        contender = Contender(OURS, "features", call, arrays=lambda features: {"features": features})
        yield Case(name, "all frames", [contender])


SUITE = Suite(title="Features of all frames", method=METHOD, workloads=WORKLOADS, cases=cases)
