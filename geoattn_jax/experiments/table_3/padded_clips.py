"""Features of frames one after another as clips, and clips of about the same length in one array."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

SHORTEST = 16  # frames to which shorter clips are filled up


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
