"""From the features of all frames to one descriptor for each clip: PCA and pooling."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.descriptors import Projection, fit_pca_in_portions
from geoattn_jax.descriptors.pooling import POOLINGS, Pooling
from geoattn_jax.descriptors.similarity import median_of, pair_distances
from geoattn_jax.experiments.table_3.padded_clips import PaddedClips, clip_by_clip, padded

CLIPS_AT_ONCE = 60  # that are pooled
FRAMES_AT_ONCE = 8192  # of them
CLIPS_FOR_SIGMA = 300  # training clips whose median distance is the unit of the features


class ClipFeatures(NamedTuple):
    """The features of the first clip's frames, then of the second's and so on; how many each clip has.

    Features come some at a time; they are iterated over more than once.
    """

    features: Iterable[Float[np.ndarray, "_ f"]]
    lengths: Int[np.ndarray, " clips"]


def describe_clips(
    train: ClipFeatures, test: ClipFeatures, *, components: int, kind: str
) -> tuple[Float[np.ndarray, "a p"], Float[np.ndarray, "b p"]]:
    """The descriptors of training and test clips; what is fitted is fitted to the training clips.

    The features are read three times, for the components, for their unit and for pooling, so that only some
    of them are in memory at a time.

    Args:
      train, test: the clips.
      components: how many principal components are kept; no more than there are features.
      kind: of pooling, one of `POOLINGS`.
    """
    projection = fit_pca_in_portions(train.features, components)
    sigma, pooling = _unit(train, projection), POOLINGS[kind]
    return _pooled(train, projection, pooling, sigma), _pooled(test, projection, pooling, sigma)


def _unit(clips: ClipFeatures, projection: Projection) -> float:
    """The median distance of some clips, evenly spaced."""
    count = min(CLIPS_FOR_SIGMA, len(clips.lengths))
    chosen = set(np.linspace(0, len(clips.lengths) - 1, count).round().astype(int).tolist())
    distances = [
        pair_distances(batch.trajectories, batch.lengths)[: len(batch.numbers)]
        for batch in _projected(clips, projection, chosen)
    ]
    return median_of(np.concatenate(distances))


def _pooled(
    clips: ClipFeatures, projection: Projection, pooling: Pooling, sigma: float
) -> Float[np.ndarray, "n p"]:
    descriptors = None
    for numbers, trajectories, lengths in _projected(clips, projection, set(range(len(clips.lengths)))):
        pooled = np.asarray(pooling(trajectories, lengths, sigma))
        if descriptors is None:
            descriptors = np.empty((len(clips.lengths), pooled.shape[1]), pooled.dtype)
        descriptors[numbers] = pooled[: len(numbers)]
    return descriptors


def _projected(clips: ClipFeatures, projection: Projection, chosen: set[int]) -> Iterator[PaddedClips]:
    """The trajectories of the clips with the chosen numbers, some clips at a time."""
    portions = (np.asarray(projection.project(features)) for features in clips.features)
    numbered = enumerate(clip_by_clip(portions, clips.lengths))
    wanted = ((number, one) for number, one in numbered if number in chosen)
    return padded(wanted, clips_at_once=CLIPS_AT_ONCE, frames_at_once=FRAMES_AT_ONCE)
