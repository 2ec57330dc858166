"""The FC6 features of every frame of every clip, for several models in one pass over the frames."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.control_regions import Region
from geoattn_jax.experiments.attention.task import AttentionTask, Variables
from geoattn_jax.experiments.table_3.frames import StreamFrames

SHORTEST = 16  # frames to which shorter clips are filled up


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
