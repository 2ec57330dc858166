"""The FC6 features of every frame of every clip, for several models in one pass over the frames."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.control_regions import Region
from geoattn_jax.experiments.attention.task import AttentionTask, Variables
from geoattn_jax.experiments.table_3.frames import StreamFrames


class Trained(NamedTuple):
    """A network, its variables, and the region of the frames that it sees."""

    task: AttentionTask
    variables: Variables
    region: Region


def extract_features(
    frames: StreamFrames, split: Split, models: Mapping[str, Trained], *, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Every frame is read once; each batch goes through each network in one compiled call.

    No more than a batch is ever in memory.

    Args:
      frames: one stream of the clips.
      split: whose frames.
      models: by name.
      batch_size: frames at a time; the features do not depend on it.

    Yields: first "lengths", how many frames each clip has; then, batch by batch in the order of
      `StreamFrames.every_frame`, by the model's name the features (b, f) of the next b frames.
    """
    lengths = frames.source.lengths(split)
    yield {"lengths": lengths}
    left = int(lengths.sum())
    for samples in frames.every_frame(split, batch_size):
        features = {
            name: model.task.features(model.variables, samples, model.region)
            for name, model in models.items()
        }
        yield {name: np.asarray(batch)[:left] for name, batch in features.items()}
        left -= batch_size
