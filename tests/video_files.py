"""Small video files, and textures that move by known distances."""

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the extra video")

FPS = 12.5
JPEG = 4  # by how much compression changes a plain colour


def write_avi(path: Path, frames: np.ndarray) -> Path:
    """Motion JPEG: every frame is a picture of its own, so that a file cut off keeps its first ones."""
    return write_with_opencv(path, frames, "MJPG")


def write_with_opencv(path: Path, frames: np.ndarray, codec: str) -> Path:
    """In the container that the ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), FPS, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def cut_off(path: Path, share: float) -> Path:
    """Keeps the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def edit(path: Path, old: bytes, new: bytes) -> Path:
    """Replaces a piece of a file, which must be there once."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def plain_frames(count: int, hw: tuple[int, int] = (24, 36)) -> np.ndarray:
    """Frames of one colour each, (20 k, 10 k, 200 - 10 k)."""
    colours = np.arange(count)[:, None] * np.array([20, 10, -10]) + np.array([0, 0, 200])
    return np.broadcast_to(colours[:, None, None], (count, *hw, 3)).astype(np.uint8)


def moving_texture(step: tuple[int, int], count: int = 4, hw: tuple[int, int] = (48, 68), seed: int = 0):
    """A smooth texture, all of which moves by `step` = (dy, dx) pixels from each frame to the next."""
    (height, width), (dy, dx) = hw, step
    margin_y, margin_x = abs(dy) * count, abs(dx) * count
    noise = np.random.default_rng(seed).uniform(size=(height + 2 * margin_y, width + 2 * margin_x, 3))
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2)
    picture = np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    starts = [(margin_y - dy * t, margin_x - dx * t) for t in range(count)]
    return np.stack([picture[y : y + height, x : x + width] for y, x in starts])


MOTIONS = {"right": (0, 2), "down": (2, 0)}  # two classes of `write_folder`


def whole_moving(step: tuple[int, int], seed: int) -> np.ndarray:
    """Four frames of a texture that moves."""
    return moving_texture(step, 4, (48, 68), seed=seed)


def write_folder(folder: Path, step_of=MOTIONS.get, picture_of=whole_moving) -> None:
    """A folder of tiny videos, picture_of(step_of(class), seed); two clips of each class to train on."""
    for number, split in enumerate(("train", "train", "validation", "test")):
        for name in MOTIONS:
            write_avi(folder / split / name / f"{number}.avi", picture_of(step_of(name), number))
