"""A tiny copy of MPII Cooking Activities' download, in the same format."""

from pathlib import Path

import numpy as np

FRAME_HW = (48, 64)
HEADER = "subject,file_name,start_frame,end_frame,category_id,category_name"

# A video of eight frames; the first and the last interval share frames, and category 7 comes before 3.
ROWS = (
    "8,s08-d02-cam-002,1,3,7, cut dice",
    "8,s08-d02-cam-002,4,4,1, Background activity",
    "8,s08-d02-cam-002,5,8,3, peel",
    "8,s08-d02-cam-002,3,5,7, cut dice",
)


def write_annotations(folder: Path, rows=ROWS, *, header: bool = False, newline: str = "\n") -> Path:
    """Writes the annotation file of a download."""
    path = folder / "annotations" / "detectionGroundtruth-1-0.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(newline.join([HEADER, *rows] if header else rows) + newline, newline="")
    return path


def write_video(folder: Path, name: str, frames: np.ndarray) -> Path:
    """Writes a video of a download."""
    from video_files import write_avi  # needs OpenCV, the annotations do not

    return write_avi(folder / "videos" / f"{name}.avi", frames)


def grey_frames(count: int, first: int = 20) -> np.ndarray:
    """Grey frames that can be told apart: frame k, counted from 1, has the level first + 10 k."""
    levels = first + 10 * np.arange(1, count + 1)
    return np.broadcast_to(levels[:, None, None, None], (count, *FRAME_HW, 3)).astype(np.uint8)


def moving_square(count: int, start: tuple[int, int], step: tuple[int, int], size: int = 14) -> np.ndarray:
    """A textured square that moves by `step` = (dy, dx) from each frame to the next, before a still wall."""
    random = np.random.default_rng(0)
    wall, square = (random.integers(60, 200, (*hw, 3), np.uint8) for hw in (FRAME_HW, (size, size)))
    frames = np.tile(wall, (count, 1, 1, 1))
    for time, frame in enumerate(frames):
        y, x = (first + time * by for first, by in zip(start, step, strict=True))
        frame[y : y + size, x : x + size] = square
    return frames
