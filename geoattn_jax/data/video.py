"""Video files: read and written with OpenCV, animated GIFs written with Pillow.

OpenCV comes with the extra `video` (`pip install geoattn-jax[video]`) and is imported when it is needed.
"""

import contextlib
import errno
import itertools
import logging
import os
import shutil
import struct
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from geoattn_jax.data.video_container import codec_of, frames_are_missing, is_cut_off
from geoattn_jax.files import replacing
from geoattn_jax.ops.checks import check_pair

LARGEST = {".mp4": 8190, ".gif": 65535}  # height and width that can be written, pixels
WRITABLE = tuple(LARGEST)
SLOWEST, FASTEST = 0.1, 1000.0  # frames per second
DEFAULT_FPS = 25.0  # of files that do not say, or nonsense

ENDLESS = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # a .gif file's animation, without a number of times
CODECS = {"V_AV1": "AV1", "av01": "AV1", "drmi": "encrypted", "encv": "encrypted"}  # as people call them

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
    """Writes a video, which appears in the folder when it is complete; on an error a former file is kept.

    Args:
      path: ends in ".mp4" (MPEG-4; an odd height or width is made even by repeating the last row or column)
        or ".gif" (256 colours a frame, endless, whole hundredths of a second for each frame, two at least).
      frames: RGB, at least one, all of one size; an iterator is not gathered in memory.
      fps: frames per second, from 0.1 to 1000.

    Raises: ValueError naming the argument for another kind of file, no frames, frames that are not 8-bit RGB,
      of several sizes or too large for the format, or fps out of range; OSError naming the file if it cannot
      be written, as on a full disk.
    """
    path = Path(path)
    if path.suffix not in WRITABLE or path.is_dir():
        raise ValueError(
            f"write_video: path must be a file that ends in {' or '.join(WRITABLE)}, got {str(path)!r}"
        )
    if not (isinstance(fps, Real) and SLOWEST <= fps <= FASTEST):
        raise ValueError(
            f"write_video: fps must be a number of frames per second from {SLOWEST} to {FASTEST}, got {fps!r}"
        )
    checked = _alike(frames, LARGEST[path.suffix], path.suffix)
    first = next(checked, None)
    if first is None:
        raise ValueError("write_video: frames must hold at least one frame, got none")
    write = _write_mp4 if path.suffix == ".mp4" else _write_gif
    try:
        # OpenCV writes to a named file only.
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / f"video{path.suffix}"
            write(temporary, itertools.chain([first], checked), float(fps))
            with temporary.open("rb") as written, replacing(path) as file:
                shutil.copyfileobj(written, file)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def check_frame(function: str, frame: UInt8[np.ndarray, "h w 3"], number: int) -> None:
    """Checks that one of `frames` is a picture as `read_video` gives it.

    Raises: ValueError naming the function, the frame and what came.
    """
    shape, dtype = np.shape(frame), getattr(frame, "dtype", type(frame).__name__)
    if dtype == np.uint8 and len(shape) == 3 and shape[2] == 3 and 0 not in shape:
        return
    raise ValueError(
        f"{function}: frames must be 8-bit RGB, uint8 of shape (h, w, 3), got {dtype} of shape {shape} as "
        f"frame {number}; {_what_to_give(shape, dtype)}"
    )


def _what_to_give(shape: tuple[int, ...], dtype: np.dtype | str) -> str:
    if len(shape) == 4:
        return "give the frames of one video, without an axis of a batch"
    if len(shape) == 2 and shape[1] == 3:
        return "give a single frame as frames[None], a video of one"
    if dtype != np.uint8 and getattr(dtype, "kind", None) in ("i", "u"):
        return "pixels from 0 to 255 become 8-bit ones by frames.astype(np.uint8)"
    if dtype != np.uint8:
        return "pixels in [0, 1] become 8-bit ones by (255 * frames).round().astype(np.uint8)"
    if len(shape) == 2 or shape[2:] == (1,):
        return "repeat grey ones in three channels"
    return "give three channels, the last axis"


def resize_image(image: Shaped[np.ndarray, "h w *c"], hw: tuple[int, int]) -> Shaped[np.ndarray, "_ _ *c"]:
    """Scales an image of any number of channels, 8 bits or float: with means over areas where it shrinks.

    Args:
      image: RGB, flow, a map without channels, ...
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


def is_unicode(path: Path) -> bool:
    """Whether the name of a file is text; that of another, in bytes, Python gives in surrogates."""
    return not any(unicodedata.category(character) == "Cs" for character in os.fspath(path.absolute()))


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
    if number == 0:
        raise VideoError(f"{path}: no frame of it can be decoded; {_remedy(path)}")
    if number <= start:
        raise VideoError(
            f"{path}: it has {number} frames, counted from 0; start at one of them, not at {start}"
        )
    if stop is None or number < stop:
        _warn_if_frames_are_missing(path, capture, number)


def _warn_if_frames_are_missing(path: Path, capture: Any, number: int) -> None:
    cv2 = import_opencv()
    fps, promised = _fps(capture), round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    # Time since the first frame and since the file's beginning; one may be missing, the other not counted.
    last = max(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, capture.get(cv2.CAP_PROP_PTS) / fps)
    if frames_are_missing(path, decoded=number, promised=promised, end=last + 1 / fps, fps=fps):
        count = f"{number} of its {promised}" if promised > number else f"only {number} of its"
        _log.warning("%s breaks off: %s frames can be decoded", path, count)


def _remedy(path: Path) -> str:
    codec = codec_of(path)
    if codec is None or is_cut_off(path):
        return "leave it out, or record it again"
    return (
        f"its codec is {CODECS.get(codec, codec)}, which OpenCV may lack: if other programs play it, "
        f"convert it to H.264 (ffmpeg -i FILE -c:v libx264 NEW.mp4), otherwise leave it out"
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise VideoError(f"{path}: there is no such file")
    if not is_unicode(path):
        raise VideoError(f"{str(path)!a}: its name is not valid Unicode, which OpenCV needs; rename it")
    # Relative names such as http:x.mp4 would be taken for addresses.
    capture = import_opencv().VideoCapture(os.fspath(path.absolute()))
    try:
        if not capture.isOpened():
            raise VideoError(
                f"{path}: OpenCV cannot read it; it may be empty, broken off or no video; {_remedy(path)}"
            )
        yield capture
    finally:
        capture.release()


def _fps(capture: Any) -> float:
    fps = capture.get(import_opencv().CAP_PROP_FPS)
    return fps if SLOWEST <= fps <= FASTEST else DEFAULT_FPS


def _alike(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]], largest: int, suffix: str
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames, each checked before it is written."""
    first = None
    for number, frame in enumerate(frames):
        check_frame("write_video", frame, number)
        if first is None:
            first = frame.shape
            if max(first) > largest:
                raise ValueError(
                    f"write_video: frames must be at most {largest} pixels high and wide in {suffix} files, "
                    f"got {first[0]} x {first[1]}; scale them"
                )
        if frame.shape != first:
            raise ValueError(
                f"write_video: frames must all be of one size, got {first[0]} x {first[1]} pixels and, as "
                f"frame {number}, {frame.shape[0]} x {frame.shape[1]}; scale them"
            )
        yield np.asarray(frame)


def _write_mp4(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    cv2 = import_opencv()
    # MPEG-4 has rates of up to 16 bits.
    decimals = next(digits for digits in (3, 2, 1) if fps * 10**digits < 2**16)
    writer, count = None, 0
    try:
        for frame in frames:
            height, width, _ = frame.shape
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if writer is None:
                codec = cv2.VideoWriter_fourcc(*"mp4v")
                writer = cv2.VideoWriter(os.fspath(path), codec, round(fps, decimals), even.shape[1::-1])
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        if writer is not None:
            writer.release()
    _check_written(path, count)


def _check_written(path: Path, count: int) -> None:
    """Checks that the frames are in the file: OpenCV fails to write without an error."""
    capture = import_opencv().VideoCapture(os.fspath(path))
    written = round(capture.get(import_opencv().CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if written != count:
        folder = path.parent.parent
        raise OSError(errno.EIO, f"OpenCV wrote {written} of {count} frames into {folder}; is its disk full?")


def _write_gif(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    from PIL import GifImagePlugin, Image

    # Players slow down frames of less than two hundredths.
    milliseconds = max(20, 10 * round(100 / fps))
    with path.open("wb") as file:
        # Image.save would make one frame of equal ones that follow each other.
        for number, frame in enumerate(frames):
            if number == 0:
                height, width, _ = frame.shape
                file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + ENDLESS)
            image = Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE)
            file.writelines(GifImagePlugin.getdata(image, duration=milliseconds, include_color_table=True))
        file.write(b";")
