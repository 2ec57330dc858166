"""The FC6 features of every frame of every clip, for several models in one pass over the frames."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.control_regions import Region
from geoattn_jax.experiments.attention.task import AttentionTask, Variables
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.training.devices import on_all_devices


class Trained(NamedTuple):
    """A network, its variables, and the region of the frames that it sees."""

    task: AttentionTask
    variables: Variables
    region: Region


def extract_features(
    frames: StreamFrames, split: Split, models: Mapping[str, Trained], *, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Every frame is read once; each batch goes through each network in one compiled call.

    No more than `frames.reads_ahead` + 1 batches are ever in memory.

    Args:
      frames: one stream of the clips.
      split: whose frames.
      models: by name.
      batch_size: frames that a device gets at a time; the features do not depend on it.

    Yields: first "lengths", how many frames each clip has; then, batch by batch in the order of
      `StreamFrames.every_frame`, by the model's name the features (b, f) of the next b frames.
    """
    lengths = frames.source.lengths(split)
    yield {"lengths": lengths}

    def compute(variables: Mapping[str, Variables], batch: Any) -> dict[str, Array]:
        return {
            name: model.task.features(variables[name], batch, model.region) for name, model in models.items()
        }

    yield from on_all_devices(
        compute,
        {name: model.variables for name, model in models.items()},
        partial(frames.every_frame, split),
        count=frames.num_frames(split),
        batch_size=batch_size,
        reads_ahead=frames.reads_ahead,
    )
