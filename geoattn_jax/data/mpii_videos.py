"""What is kept of MPII Cooking Activities' videos: their annotated frames, and the flow between them."""

import collections
import dataclasses
import itertools
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from geoattn_jax.data.flow import BOUND, FlowMethod, encode_flow, iterate_flow
from geoattn_jax.data.levels import LEVELS, PAPER_LEVELS
from geoattn_jax.data.mpii_annotations import Interval
from geoattn_jax.data.mpii_records import Clip
from geoattn_jax.data.video import VideoError, read_frames, resize_image

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Keeping:
    """How frames are kept.

    Attributes:
      frame_hw: height and width of the frames, pixels.
      flow_hw: height and width of the frames between which flow is computed, pixels.
      stride: 1 keeps all annotated frames; 2 those among the video's first, third, fifth frame and so on,
        with the flow from one of these to the next.
      flow_bound: see `flow.encode_flow`.
      flow_method: see `flow.compute_flow`.
    """

    frame_hw: tuple[int, int]
    flow_hw: tuple[int, int]
    stride: int = 1
    flow_bound: float = BOUND
    flow_method: FlowMethod = "dis"


# By the largest level that the frames are for. They serve the more general ones too; those of "mini" all
# levels of a seventh of the paper's size. At the paper's detail level flow is computed at half the size, in a
# quarter of the time.
KEEPING = {
    "detail": Keeping(PAPER_LEVELS["detail"].frame_hw, flow_hw=PAPER_LEVELS["middle"].frame_hw),
    "middle": Keeping(PAPER_LEVELS["middle"].frame_hw, flow_hw=PAPER_LEVELS["middle"].frame_hw),
    "general": Keeping(PAPER_LEVELS["general"].frame_hw, flow_hw=PAPER_LEVELS["general"].frame_hw),
    "mini": Keeping(LEVELS["detail"].frame_hw, flow_hw=LEVELS["detail"].frame_hw, flow_bound=2 * BOUND / 7),
}


@dataclasses.dataclass(frozen=True)
class Recording:
    """A video and its intervals.

    Attributes:
      subject: the person's number.
      video: the file's name, without `.avi`.
      intervals: in the order in which they begin; they may overlap.
    """

    subject: int
    video: str
    intervals: tuple[Interval, ...]

    def frames(self, stride: int) -> Iterator[int]:
        """The numbers of the annotated frames that the stride keeps, ascending; the video may end earlier."""
        following = 1
        for interval in self.intervals:
            yield from _strided(max(interval.start, following), interval.end, stride)
            following = max(following, interval.end + 1)


class KeptFrame(NamedTuple):
    """A frame that is kept.

    Attributes:
      number: counted from 1 in the video.
      frame: RGB.
      flow: to the next frame of the stride, as `flow.encode_flow` encodes it.
    """

    number: int
    frame: UInt8[np.ndarray, "h w 3"]
    flow: UInt8[np.ndarray, "fh fw 2"]


def recordings_of(intervals: Sequence[Interval]) -> list[Recording]:
    """The videos that have intervals, sorted by subject and name."""
    ordered = sorted(intervals, key=lambda interval: (interval.subject, interval.video, interval.start))
    groups = itertools.groupby(ordered, lambda interval: (interval.subject, interval.video))
    return [Recording(*key, tuple(group)) for key, group in groups]


def kept_frames(path: Path, recording: Recording, keeping: Keeping) -> Iterator[KeptFrame]:
    """Decodes a video once and gives what is kept of it; a few frames are in memory at a time.

    After the video's last frame its flow is that of the frame before.

    Raises: VideoError naming the file if it cannot be read or has one frame only.
    """
    waiting = collections.deque()  # frames whose flow is not known yet: two, which tee() would make 57

    def frames() -> Iterator[UInt8[np.ndarray, "fh fw 3"]]:
        numbered = enumerate(read_frames(path, resize_hw=keeping.frame_hw), 1)
        for number, frame in itertools.islice(numbered, 0, None, keeping.stride):
            waiting.append((number, frame))
            yield resize_image(frame, keeping.flow_hw)

    wanted = recording.frames(keeping.stride)
    next_wanted = next(wanted, None)
    for flow in iterate_flow(frames(), method=keeping.flow_method):
        number, frame = waiting.popleft()
        if next_wanted is None:
            return
        if number == next_wanted:
            yield KeptFrame(number, frame, np.asarray(encode_flow(flow, bound=keeping.flow_bound)))
            next_wanted = next(wanted, None)
    if waiting:
        raise VideoError(f"{path}: it has one frame, and flow leads from one to another; download it again")


def clips_of(
    recordings: Sequence[Recording], frames: Sequence[Sequence[int]], categories: Sequence[int], stride: int
) -> Iterator[Clip]:
    """The intervals as clips; of what lies beyond the end of a video a warning is logged.

    Args:
      recordings: sorted by subject.
      frames: for each recording the numbers of its kept frames, ascending.
      categories: the category of each class.
      stride: with which the frames were kept.
    """
    records = dict.fromkeys((recording.subject for recording in recordings), 0)
    for recording, numbers in zip(recordings, frames, strict=True):
        for interval in recording.intervals:
            begin, end = bisect_left(numbers, interval.start), bisect_right(numbers, interval.end)
            _warn_of_missing(interval, numbers, end - begin, stride)
            if begin < end:
                yield Clip(
                    subject=recording.subject,
                    video=recording.video,
                    start=numbers[begin],
                    end=numbers[end - 1],
                    label=categories.index(interval.category),
                    first=records[recording.subject] + begin,
                    num_frames=end - begin,
                )
        records[recording.subject] += len(numbers)


def _strided(start: int, end: int, stride: int) -> range:
    """The frames from start to end, included, that steps of `stride` from the video's first one reach."""
    return range(start + (1 - start) % stride, end + 1, stride)


def _warn_of_missing(interval: Interval, numbers: Sequence[int], count: int, stride: int) -> None:
    expected = len(_strided(interval.start, interval.end, stride))
    if count == expected > 0:
        return
    consequence = "clipped" if count else "left out"
    if expected:
        last = numbers[-1] if numbers else 0
        reason = f"but it ends before: the last frame that is kept is {last}"
    else:
        reason = f"none of which stride {stride} keeps"
    _log.warning(
        "annotations, line %d: frames %d to %d of %s, %s; %s",
        interval.line, interval.start, interval.end, interval.video, reason, consequence,
    )  # fmt: skip
