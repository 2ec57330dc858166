"""From the features of all frames to one descriptor for each clip: PCA and temporal correlation pooling."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.descriptors import fit_pca, median_distance, temporal_correlation
from geoattn_jax.descriptors.similarity import Kind
from geoattn_jax.experiments.attention.samples import portions
from geoattn_jax.experiments.table_3.features import trajectories

CLIPS_AT_ONCE = 60  # that are pooled
CLIPS_FOR_SIGMA = 300  # training clips whose median distance is the unit of the features


class ClipFeatures(NamedTuple):
    """The features of the first clip's frames, then of the second's and so on; how many each clip has."""

    features: Float[np.ndarray, "n f"]
    lengths: Int[np.ndarray, " clips"]


def describe_clips(
    train: ClipFeatures, test: ClipFeatures, *, components: int, kind: Kind
) -> tuple[Float[np.ndarray, "a p"], Float[np.ndarray, "b p"]]:
    """The descriptors of training and test clips; what is fitted is fitted to the training clips.

    Args:
      train, test: the clips.
      components: how many principal components are kept; no more than there are features.
      kind: of pooling.
    """
    projection = fit_pca(train.features, components)
    clips = [
        trajectories(np.asarray(projection.project(features)), lengths) for features, lengths in (train, test)
    ]
    chosen = np.linspace(0, len(clips[0]) - 1, min(CLIPS_FOR_SIGMA, len(clips[0]))).round().astype(int)
    sigma = median_distance(clips[0][chosen], train.lengths[chosen])
    return tuple(
        _pooled(one, lengths, kind, sigma) for one, (_, lengths) in zip(clips, (train, test), strict=True)
    )


def _pooled(
    clips: Float[np.ndarray, "n t d"], lengths: Int[np.ndarray, " n"], kind: Kind, sigma: float
) -> Float[np.ndarray, "n p"]:
    """Some clips at a time; the last ones are filled up, so that all have one shape."""
    parts = []
    for places in portions(len(clips), CLIPS_AT_ONCE):
        filled = np.minimum(places[0] + np.arange(CLIPS_AT_ONCE), len(clips) - 1)
        pooled = temporal_correlation(clips[filled], lengths[filled], kind=kind, sigma=sigma)
        parts.append(np.asarray(pooled)[: len(places)])
    return np.concatenate(parts)
