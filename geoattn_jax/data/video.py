"""Video files: read and written with OpenCV, animated GIFs written with Pillow.

OpenCV comes with the extra `video` (`pip install geoattn-jax[video]`) and is imported when it is needed.
"""

import contextlib
import itertools
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from geoattn_jax.files import replacing
from geoattn_jax.ops.checks import check_pair

WRITABLE = (".mp4", ".gif")
DEFAULT_FPS = 25.0  # of files that do not say

_log = logging.getLogger(__name__)


class VideoError(ValueError):
    """A video file that cannot be used."""


class Video(NamedTuple):
    """A decoded video.

    Attributes:
      frames: RGB.
      fps: frames per second.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    fps: float


def read_video(
    path: str | Path, *, start: int = 0, stop: int | None = None, resize_hw: tuple[int, int] | None = None
) -> Video:
    """Reads a video file, or a range of its frames; for the arguments and errors see `read_frames`."""
    _check("read_video", start, stop, resize_hw)
    with _opened(Path(path)) as capture:
        frames = np.stack(list(_decoded(Path(path), capture, start, stop, resize_hw)))
        return Video(frames, _fps(capture))


def read_frames(
    path: str | Path, *, start: int = 0, stop: int | None = None, resize_hw: tuple[int, int] | None = None
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Reads a video file frame by frame, so that a long one needs no more memory than one frame.

    Frames before `start` are decoded and passed over: jumping to a frame is not exact with every codec. A
    file that breaks off gives the frames before the break, and a warning is logged.

    Args:
      path: any file that OpenCV can read, such as .mp4 or .avi.
      start: the first frame, counted from 0.
      stop: the first frame that is not read any more; None reads to the end.
      resize_hw: height and width to which frames are scaled, pixels, whatever their shape; None keeps them.

    Yields: RGB frames.
    Raises: ValueError for a range or a size that makes no sense; VideoError naming the file if it is missing,
      cannot be read or has none of these frames.
    """
    _check("read_frames", start, stop, resize_hw)

    def frames() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        with _opened(Path(path)) as capture:
            yield from _decoded(Path(path), capture, start, stop, resize_hw)

    return frames()


def write_video(path: str | Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    """Writes a video, which appears in the folder when it is complete.

    Args:
      path: ends in ".mp4" (MPEG-4; an odd height or width is made even by repeating the last row or column)
        or ".gif" (256 colours, endless, whole hundredths of a second for each frame).
      frames: RGB, at least one, all of one size; an iterator is not gathered in memory for ".mp4".
      fps: frames per second.

    Raises: ValueError for another kind of file, no frames or fps that are not positive.
    """
    path, frames = Path(path), iter(frames)
    if path.suffix not in WRITABLE:
        raise ValueError(f"write_video: path must end in {' or '.join(WRITABLE)}, got {str(path)!r}")
    if not fps > 0:
        raise ValueError(f"write_video: fps must be a number above 0, got {fps}")
    first = next(frames, None)
    if first is None:
        raise ValueError("write_video: frames must hold at least one frame, got none")
    write = _write_mp4 if path.suffix == ".mp4" else _write_gif
    write(path, itertools.chain([first], frames), fps)


def resize_image(image: Shaped[np.ndarray, "h w c"], hw: tuple[int, int]) -> Shaped[np.ndarray, "_ _ c"]:
    """Scales an image of any number of channels, 8 bits or float: with means over areas where it shrinks.

    Args:
      image: RGB, flow, ...
      hw: height and width after scaling, pixels.
    """
    if image.shape[:2] == tuple(hw):
        return image
    cv2 = import_opencv()
    shrinks = hw[0] <= image.shape[0] and hw[1] <= image.shape[1]
    # When it enlarges, OpenCV's means over areas show squares.
    return cv2.resize(image, hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def import_opencv() -> ModuleType:
    """OpenCV.

    Raises: ImportError naming the extra that it comes with.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError("video files need OpenCV: pip install 'geoattn-jax[video]'") from error
    return cv2


def _check(function: str, start: int, stop: int | None, resize_hw: tuple[int, int] | None) -> None:
    if start < 0 or (stop is not None and stop <= start):
        raise ValueError(
            f"{function}: start and stop must be a range with frames in it, got {start} to {stop}; "
            f"count frames from 0"
        )
    if resize_hw is not None:
        check_pair(function, "resize_hw", resize_hw, minimum=1)


def _decoded(
    path: Path, capture: Any, start: int, stop: int | None, resize_hw: tuple[int, int] | None
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    cv2 = import_opencv()
    number = 0
    while (stop is None or number < stop) and capture.grab():
        if number >= start:
            decoded, frame = capture.retrieve()
            if not decoded:
                break
            image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            yield image if resize_hw is None else resize_image(image, resize_hw)
        number += 1
    if number <= start:
        if number > 0:
            raise VideoError(
                f"{path}: it has {number} frames, counted from 0; start at one of them, not at {start}"
            )
        raise VideoError(f"{path}: no frame of it can be decoded; leave it out, or record it again")
    promised = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))  # by the header; not positive if it says none
    if number < (promised if stop is None else min(stop, promised)):
        _log.warning("%s breaks off: %d of its %d frames can be decoded", path, number, promised)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise VideoError(f"{path}: there is no such file")
    capture = import_opencv().VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise VideoError(f"{path}: OpenCV cannot read it; it may be empty, broken off or no video")
        yield capture
    finally:
        capture.release()


def _fps(capture: Any) -> float:
    fps = capture.get(import_opencv().CAP_PROP_FPS)
    return fps if 0 < fps < float("inf") else DEFAULT_FPS


def _write_mp4(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    cv2 = import_opencv()
    # OpenCV writes to a named file only.
    with tempfile.TemporaryDirectory() as folder:
        temporary, writer = Path(folder) / path.name, None
        for frame in frames:
            height, width, _ = frame.shape
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if writer is None:
                codec = cv2.VideoWriter_fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(temporary), codec, fps, even.shape[1::-1])
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))
        writer.release()
        with temporary.open("rb") as written, replacing(path) as file:
            shutil.copyfileobj(written, file)


def _write_gif(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    # Players slow down frames of less than two hundredths.
    milliseconds = max(20, 10 * round(100 / fps))
    with replacing(path) as file:
        first.save(file, format="GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
