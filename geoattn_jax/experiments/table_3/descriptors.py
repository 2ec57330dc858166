"""From the features of all frames to one descriptor for each clip: PCA and pooling."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.descriptors import Projection, fit_pca_in_portions
from geoattn_jax.descriptors.pooling import POOLINGS, Pooling
from geoattn_jax.descriptors.similarity import median_of, pair_distances

CLIPS_AT_ONCE = 60  # that are pooled
FRAMES_AT_ONCE = 8192  # of them
SHORTEST = 16  # frames to which shorter clips are filled up
CLIPS_FOR_SIGMA = 300  # training clips whose median distance is the unit of the features


class ClipFeatures(NamedTuple):
    """The features of the first clip's frames, then of the second's and so on; how many each clip has.

    Features come some at a time; they are iterated over more than once.
    """

    features: Iterable[Float[np.ndarray, "_ f"]]
    lengths: Int[np.ndarray, " clips"]


class PaddedClips(NamedTuple):
    """Some clips, filled up with zeros.

    Attributes:
      numbers: of the clips.
      trajectories: their features, zeros after a clip's last frame; after the last clip copies of it.
      lengths: how many frames they have, the copies too.
    """

    numbers: Int[np.ndarray, " n"]
    trajectories: Float[np.ndarray, "b t f"]
    lengths: Int[np.ndarray, " b"]


class PooledClips(NamedTuple):
    """The descriptors of some clips, and the clips' numbers."""

    numbers: Int[np.ndarray, " n"]
    descriptors: Float[np.ndarray, "n p"]


@dataclasses.dataclass(frozen=True)
class ClipPooling:
    """What makes descriptors of clips.

    Attributes:
      projection: on the principal components of the training clips' features.
      pooling: one of `POOLINGS`.
      sigma: the unit of the projected features.
    """

    projection: Projection
    pooling: Pooling
    sigma: float

    @classmethod
    def fitted(cls, train: ClipFeatures, *, components: int, kind: str) -> "ClipPooling":
        """Fits the components and their unit to training clips, whose features are read once for each.

        Args:
          train: the clips.
          components: how many principal components are kept; no more than there are features.
          kind: of pooling, one of `POOLINGS`.
        """
        projection = fit_pca_in_portions(train.features, components)
        return cls(projection, POOLINGS[kind], _unit(train, projection))

    def pooled(self, clips: ClipFeatures) -> Iterator[PooledClips]:
        """The descriptors of each clip once, some clips at a time and in another order."""
        for numbers, trajectories, lengths in _projected(clips, self.projection, range(len(clips.lengths))):
            descriptors = np.asarray(self.pooling(trajectories, lengths, sigma=self.sigma))
            yield PooledClips(numbers, descriptors[: len(numbers)])


def _unit(clips: ClipFeatures, projection: Projection) -> float:
    """The median distance of some clips, evenly spaced."""
    count = min(CLIPS_FOR_SIGMA, len(clips.lengths))
    chosen = set(np.linspace(0, len(clips.lengths) - 1, count).round().astype(int).tolist())
    distances = [
        pair_distances(batch.trajectories, batch.lengths)[: len(batch.numbers)]
        for batch in _projected(clips, projection, chosen)
    ]
    return median_of(np.concatenate(distances))


def _projected(clips: ClipFeatures, projection: Projection, chosen: Collection[int]) -> Iterator[PaddedClips]:
    """The trajectories of the clips with the chosen numbers, some clips at a time."""
    portions = (np.asarray(projection.project(features)) for features in clips.features)
    numbered = enumerate(clip_by_clip(portions, clips.lengths))
    wanted = ((number, one) for number, one in numbered if number in chosen)
    return padded(wanted, clips_at_once=CLIPS_AT_ONCE, frames_at_once=FRAMES_AT_ONCE)


def clip_by_clip(
    portions: Iterable[Float[np.ndarray, "_ f"]], lengths: Int[np.ndarray, " clips"]
) -> Iterator[Float[np.ndarray, "_ f"]]:
    """The features of the first clip's frames, of the second's and so on.

    Args:
      portions: the features of all frames in that order, some at a time.
      lengths: how many frames each clip has.

    Raises: ValueError if there are fewer or more features than frames.
    """
    portions, rest = iter(portions), None
    for length in lengths.tolist():
        parts, missing = [], length
        while missing:
            if rest is None or not len(rest):
                rest = next(portions, None)
                if rest is None:
                    raise ValueError(f"clip_by_clip: there are features of fewer than {lengths.sum()} frames")
            parts.append(rest[:missing])
            rest, missing = rest[missing:], missing - len(parts[-1])
        yield np.concatenate(parts)
    if (rest is not None and len(rest)) or any(map(len, portions)):
        raise ValueError(f"clip_by_clip: there are features of more than {lengths.sum()} frames")


def padded(
    clips: Iterable[tuple[int, Float[np.ndarray, "_ f"]]], *, clips_at_once: int, frames_at_once: int
) -> Iterator[PaddedClips]:
    """Gathers clips of about the same length.

    Shapes are few, so that little is compiled: t is a power of two, b follows from t.

    Args:
      clips: their numbers and features.
      clips_at_once: b is at most so large.
      frames_at_once: b t is at most so large; but for a clip that is itself longer, which stands alone.

    Yields: each clip once, in another order.
    """
    waiting: dict[int, list[tuple[int, Float[np.ndarray, "_ f"]]]] = {}
    for number, clip in clips:
        size = max(SHORTEST, 1 << (len(clip) - 1).bit_length())
        together = waiting.setdefault(size, [])
        together.append((number, clip))
        if len(together) == _capacity(size, clips_at_once, frames_at_once):
            yield _padded(waiting.pop(size), size, len(together))
    for size, together in waiting.items():
        yield _padded(together, size, _capacity(size, clips_at_once, frames_at_once))


def _capacity(size: int, clips_at_once: int, frames_at_once: int) -> int:
    return max(1, min(clips_at_once, frames_at_once // size))


def _padded(clips: list[tuple[int, Float[np.ndarray, "_ f"]]], size: int, count: int) -> PaddedClips:
    numbers, features = zip(*clips, strict=True)
    features += features[-1:] * (count - len(features))
    trajectories = np.zeros((count, size, features[0].shape[1]), features[0].dtype)
    for place, one in enumerate(features):
        trajectories[place, : len(one)] = one
    return PaddedClips(np.array(numbers), trajectories, np.array([len(one) for one in features]))
