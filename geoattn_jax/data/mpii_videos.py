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
      stride: of the video's frames only every so many-th, beginning with the first, is kept as a picture, if
        it is annotated. The flow to the next frame is kept of every annotated frame.
      flow_bound: see `flow.encode_flow`.
      flow_method: see `flow.compute_flow`.
    """

    frame_hw: tuple[int, int]
    flow_hw: tuple[int, int]
    stride: int = 1
    flow_bound: float = BOUND
    flow_method: FlowMethod = "dis"

    def keeps(self, number: int) -> bool:
        """Whether the stride keeps a frame, counted from 1 in the video, as a picture."""
        return (number - 1) % self.stride == 0


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

    def frames(self) -> Iterator[int]:
        """The numbers of the annotated frames, ascending; the video may end earlier."""
        following = 1
        for interval in self.intervals:
            yield from range(max(interval.start, following), interval.end + 1)
            following = max(following, interval.end + 1)


class KeptFrame(NamedTuple):
    """What is kept of an annotated frame.

    Attributes:
      number: counted from 1 in the video.
      frame: RGB; None if the stride passes over it.
      flow: to the next frame of the video, as `flow.encode_flow` encodes it.
    """

    number: int
    frame: UInt8[np.ndarray, "h w 3"] | None
    flow: UInt8[np.ndarray, "fh fw 2"]


def recordings_of(intervals: Sequence[Interval]) -> list[Recording]:
    """The videos that have intervals, sorted by subject and name."""
    ordered = sorted(intervals, key=lambda interval: (interval.subject, interval.video, interval.start))
    groups = itertools.groupby(ordered, lambda interval: (interval.subject, interval.video))
    return [Recording(*key, tuple(group)) for key, group in groups]


def kept_frames(path: Path, recording: Recording, keeping: Keeping) -> Iterator[KeptFrame]:
    """Decodes a video once and gives what is kept of it; a few frames are in memory at a time.

    The flow of the video's last frame is that of the one before.

    Raises: VideoError naming the file if it cannot be read or has one frame only.
    """
    waiting = collections.deque()  # frames whose flow is not known yet: two, which tee() would make 57

    def frames() -> Iterator[UInt8[np.ndarray, "fh fw 3"]]:
        for frame in read_frames(path, resize_hw=keeping.frame_hw):
            waiting.append(frame)
            yield resize_image(frame, keeping.flow_hw)

    annotated = recording.frames()
    following = next(annotated, None)
    for number, flow in enumerate(iterate_flow(frames(), method=keeping.flow_method), 1):
        frame = waiting.popleft()
        if following is None:
            return
        if number == following:
            encoded = np.asarray(encode_flow(flow, bound=keeping.flow_bound))
            yield KeptFrame(number, frame if keeping.keeps(number) else None, encoded)
            following = next(annotated, None)
    if waiting:
        raise VideoError(f"{path}: it has one frame, and flow leads from one to another; download it again")


def clips_of(
    recordings: Sequence[Recording],
    frames: Sequence[Sequence[int]],
    categories: Sequence[int],
    keeping: Keeping,
) -> Iterator[Clip]:
    """The intervals as clips; of what lies beyond the end of a video a warning is logged.

    Args:
      recordings: sorted by subject.
      frames: for each recording the numbers of those annotated frames that it has, ascending.
      categories: the category of each class.
      keeping: how frames were kept.
    """
    records = {recording.subject: (0, 0) for recording in recordings}
    for recording, annotated in zip(recordings, frames, strict=True):
        kept = [number for number in annotated if keeping.keeps(number)]
        first_frame, first_flow = records[recording.subject]
        for interval in recording.intervals:
            begin, end = _places(kept, interval)
            flow_begin, flow_end = _places(annotated, interval)
            _warn_if_short(interval, flow_end - flow_begin, end - begin)
            if begin < end:
                yield Clip(
                    subject=recording.subject,
                    video=recording.video,
                    label=categories.index(interval.category),
                    start=annotated[flow_begin],
                    end=annotated[flow_end - 1],
                    first_frame=first_frame + begin,
                    num_frames=end - begin,
                    first_flow=first_flow + flow_begin,
                )
        records[recording.subject] = first_frame + len(kept), first_flow + len(annotated)


def _places(numbers: Sequence[int], interval: Interval) -> tuple[int, int]:
    """Where in ascending numbers the interval begins and, with the place after it, ends."""
    return bisect_left(numbers, interval.start), bisect_right(numbers, interval.end)


def _warn_if_short(interval: Interval, found: int, kept: int) -> None:
    last = interval.start + found - 1
    if last < interval.end:
        problem = f"frame {last} is the last" if found else "none of which is there"
    elif not kept:
        problem = "none of which the stride keeps"
    else:
        return
    _log.warning(
        "annotations, line %d: frames %d to %d of %s, %s; %s",
        interval.line, interval.start, interval.end, interval.video, problem,
        "clipped" if kept else "left out",
    )  # fmt: skip
