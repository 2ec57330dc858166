"""The FC6 features of every frame of every clip, for several models in one pass over the frames."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

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
) -> dict[str, np.ndarray]:
    """Every frame is read once; each batch goes through each network in one compiled call.

    Args:
      frames: one stream of the clips.
      split: whose frames.
      models: by name.
      batch_size: frames at a time; the features do not depend on it.

    Returns: by the model's name the features (n, f) of all n frames, in `StreamFrames.every_frame`'s order;
      "lengths", how many of them each clip has; "seconds", the time that it took.
    """
    began = time.monotonic()
    lengths = frames.source.lengths(split)
    parts = {name: [] for name in models}
    for samples in frames.every_frame(split, batch_size):
        for name, model in models.items():
            features = model.task.features(model.variables, samples, model.region)
            parts[name].append(np.asarray(features))
    features = {name: np.concatenate(part)[: lengths.sum()] for name, part in parts.items()}
    return features | {"lengths": lengths, "seconds": np.array(time.monotonic() - began)}


def trajectories(
    features: Float[np.ndarray, "n f"], lengths: Int[np.ndarray, " clips"]
) -> Float[np.ndarray, "clips t f"]:
    """The features clip by clip, zeros after the last frame of those that are shorter than the longest."""
    clips = np.zeros((len(lengths), lengths.max(), features.shape[1]), features.dtype)
    clips[np.arange(lengths.max()) < lengths[:, None]] = features
    return clips
