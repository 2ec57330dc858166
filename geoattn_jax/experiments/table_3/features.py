"""The FC6 features of every frame of every clip, for several models in one pass over the frames."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.control_regions import Region
from geoattn_jax.experiments.attention.samples import full_portions
from geoattn_jax.experiments.attention.task import AttentionTask, Variables
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.training.read_ahead import ReadAhead

AHEAD = 2  # batches that are read while another goes through the networks


class Trained(NamedTuple):
    """A network, its variables, and the region of the frames that it sees."""

    task: AttentionTask
    variables: Variables
    region: Region


def extract_features(
    frames: StreamFrames, split: Split, models: Mapping[str, Trained], *, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Every frame is read once; each batch goes through each network in one compiled call.

    No more than AHEAD + 1 batches are ever in memory.

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
    portions, left = full_portions(frames.num_frames(split), batch_size), frames.num_frames(split)
    prepare = jax.jit(frames.prepare)
    with ReadAhead(lambda rows: frames.every_frame(split, rows), portions, ahead=AHEAD) as batches:
        for raw in batches:
            samples = prepare(raw)
            features = {
                name: model.task.features(model.variables, samples, model.region)
                for name, model in models.items()
            }
            yield {name: np.asarray(batch)[:left] for name, batch in features.items()}
            left -= batch_size
