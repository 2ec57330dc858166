"""What is made of video files, kept on disk so that it is made once: frames, their flow, R_h.

A file in the cache is complete or not there, so that the process can be killed at any moment. Arrays come
back mapped into memory, not to be written to: of a long video only what is used is read.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8

from geoattn_jax.data.flow import (
    BOUND,
    FlowMethod,
    decode_flow,
    encode_flow,
    iterate_flow,
    resize_flow,
    stack_flow,
)
from geoattn_jax.data.levels import Level
from geoattn_jax.data.regions import best_windows, motion_map
from geoattn_jax.data.video import VideoError, read_frames
from geoattn_jax.files import replacing

FRAMES_AT_ONCE = 16  # whose windows are found
NAME = 200  # bytes of a video's name in those of its files, which have some more: file systems allow 255


def cached_frames(
    path: str | Path, folder: str | Path, *, resize_hw: tuple[int, int]
) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames of a video file, scaled.

    Args:
      path: the video file.
      folder: of the cache; it is created.
      resize_hw: height and width to which frames are scaled, pixels.

    Raises: VideoError naming the file if it cannot be read.
    """

    def compute() -> UInt8[np.ndarray, "t h w 3"]:
        return np.stack(list(read_frames(path, resize_hw=resize_hw)))

    return _cached(Path(path), Path(folder), ("frames", tuple(resize_hw)), compute)


def cached_flow(
    path: str | Path,
    folder: str | Path,
    *,
    compute_hw: tuple[int, int],
    resize_hw: tuple[int, int] | None = None,
    method: FlowMethod = "dis",
    bound: float = BOUND,
) -> UInt8[np.ndarray, "t h w 2"]:
    """The encoded flow of every frame of a video file.

    Neither the frames nor their flows in float are ever in memory as a whole.

    Args:
      path: the video file.
      folder: of the cache; it is created.
      compute_hw: height and width to which frames are scaled before their flow is computed, pixels.
      resize_hw: those to which the flow is scaled then, see `resize_flow`; None leaves it as it is.
      method: see `compute_flow`.
      bound: see `encode_flow`; pixels of the scaled flow.

    Raises: VideoError naming the file if it cannot be read or has one frame; otherwise as `compute_flow`.
    """
    compute_hw, resize_hw = tuple(compute_hw), tuple(resize_hw or compute_hw)

    def flows() -> Iterator[Float[np.ndarray, "h w 2"]]:
        if resize_hw == compute_hw:
            yield from iterate_flow(read_frames(path, resize_hw=compute_hw), method=method)
            return
        for flow in cached_flow(path, folder, compute_hw=compute_hw, method=method, bound=bound):
            yield resize_flow(np.asarray(decode_flow(flow, bound=bound)), resize_hw)

    def compute() -> UInt8[np.ndarray, "t h w 2"]:
        encoded = [np.asarray(encode_flow(flow, bound=bound)) for flow in flows()]
        if not encoded:
            raise VideoError(
                f"{path}: flow leads from one frame to the next, and it has one only; leave it out"
            )
        return np.stack(encoded)

    return _cached(Path(path), Path(folder), ("flow", method, bound, compute_hw, resize_hw), compute)


def cached_windows(
    path: str | Path,
    folder: str | Path,
    *,
    compute_hw: tuple[int, int],
    level: Level,
    method: FlowMethod = "dis",
    bound: float = BOUND,
) -> Float[np.ndarray, "t crops 2"]:
    """R_h of every crop of every frame of a video file, from the flows around the frame; see `best_windows`.

    Args:
      path, folder, compute_hw, method, bound: as for `cached_flow`.
      level: whose frames and windows.
    """

    def compute() -> Float[np.ndarray, "t crops 2"]:
        flow = cached_flow(
            path, folder, compute_hw=compute_hw, resize_hw=level.frame_hw, method=method, bound=bound
        )
        parts = []
        for start in range(0, len(flow), FRAMES_AT_ONCE):
            # Beyond the end the last frame is repeated: all parts are of one shape, and compiled once.
            times = np.minimum(np.arange(start, start + FRAMES_AT_ONCE), len(flow) - 1)
            parts.append(np.asarray(_windows(stack_flow(flow, times), level, bound)))
        return np.concatenate(parts)[: len(flow)]

    settings = ("windows", method, bound, tuple(compute_hw), level)
    return _cached(Path(path), Path(folder), settings, compute)


@partial(jax.jit, static_argnums=(1, 2))
def _windows(stacks: UInt8[Array, "b h w c"], level: Level, bound: float) -> Float[Array, "b crops 2"]:
    flows = decode_flow(stacks, bound=bound).reshape(*stacks.shape[:3], -1, 2)
    return best_windows(motion_map(jnp.moveaxis(flows, 3, 1)), level)


def _cached(
    path: Path, folder: Path, settings: tuple, compute: Callable[[], np.ndarray]
) -> Shaped[np.ndarray, "..."]:
    """What is kept under a name of its own for every video, state of the file and settings."""
    try:
        state = os.stat(path)
    except OSError:
        raise VideoError(f"{path}: there is no such file") from None
    identity = (str(path.absolute()), state.st_size, state.st_mtime_ns, *settings)
    stem = path.stem.encode(errors="replace")[:NAME].decode(errors="ignore")
    kept = folder / f"{stem}-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}.npy"
    if not kept.exists():
        array = compute()
        with replacing(kept) as file:
            np.save(file, array)
    return np.load(kept, mmap_mode="r")
