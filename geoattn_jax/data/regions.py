"""Hard-coded attentional regions R_h: the window with the most motion (Liu et al. 2019, section 3.2).

For any flow, painted with the scene or computed from a video. Regions are searched for in the crop that the
network sees, so crop the motion map as the frames are cropped:

    motion = motion_map(flow)[:, :, left : left + width]
    theta_2 = crop_theta(best_window(motion, (224, 224)), (224, 224), input_hw=motion.shape[1:])
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geoattn_jax.data.levels import Level
from geoattn_jax.data.video import import_opencv
from geoattn_jax.ops.checks import check_array, check_pair, check_shape
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.resample import pixel_positions

# What counts as equal, well above the rounding errors of float32.
EQUAL_SUMS = 1e-5  # of the sum
EQUAL_DISTANCES = 1e-3  # pixels


def motion_map(flow: Float[Array, "b t h w 2"]) -> Float[Array, "b h w"]:
    """How much each pixel moves (Liu et al. 2019, Eq. 2): M = mean over the flows of u^2 + v^2.

    Args:
      flow: the flows around a frame, (dy, dx), pixels.

    Returns: the motion map, squared pixels, in float32 or wider.
    Raises: ValueError if flow is not a floating-point (b, t, h, w, 2) with at least one flow.
    """
    flow = jnp.asarray(flow)
    check_array("motion_map", "flow", flow, "b t h w 2")
    check_shape(
        "motion_map", "flow", flow, (*flow.shape[:-1], 2), because="(dy and dx of each pixel)",
        remedy="give the flow (dy, dx) on the last axis",
    )  # fmt: skip
    if flow.shape[1] == 0:
        raise ValueError(f"motion_map: flow must hold at least one flow, got shape {flow.shape}")
    return jnp.mean(jnp.sum(jnp.square(widen(flow)), axis=-1), axis=1)


def window_sums(motion: Float[Array, "b h w"], window_hw: tuple[int, int]) -> Float[Array, "b rows columns"]:
    """The motion inside the window that begins at each pixel, wherever it fits into the map.

    An integral image, along one axis after the other: rounding errors are then those of the sum over a strip
    as high as the window, not of the sum over the picture, which in float32 is too coarse for small windows.

    Args:
      motion: what is summed, not negative.
      window_hw: height and width of the window, pixels.

    Returns: the sums, rows = h - window height + 1 and columns = w - window width + 1.
    Raises: ValueError if motion is not a floating-point (b, h, w) or the window is not two whole numbers that
      fit into it.
    """
    motion = jnp.asarray(motion)
    _check_window("window_sums", motion, window_hw)
    sums = widen(motion)
    for axis, size in zip((1, 2), window_hw, strict=True):
        sums = _sums_along(sums, size, axis)
    return sums


def best_window(motion: Float[Array, "b h w"], window_hw: tuple[int, int]) -> Float[Array, "b 2"]:
    """The window that holds the most motion, R_h.

    Of windows that hold as much, the one whose middle is nearest to the centre of all motion (in a map
    without motion, to the map's middle), and of these the first in reading order. So a window larger than all
    that moves is laid around it.

    Convention: positions are (y, x) in pixels, pixel centres at integers.

    Args:
      motion: the motion map of the crop, finite, not negative.
      window_hw: height and width of the window, pixels.

    Returns: the centre of the window's top-left pixel, whole numbers in float32 or wider.
    Raises: ValueError if motion is not a floating-point (b, h, w) or the window is not two whole numbers that
      fit into it.
    """
    motion = jnp.asarray(motion)
    _check_window("best_window", motion, window_hw)
    motion = widen(motion)
    sums = window_sums(motion, window_hw)
    rows, columns = sums.shape[1:]
    top_left = pixel_positions(rows, columns, sums.dtype)
    middle = top_left + (jnp.array(window_hw, sums.dtype) - 1) / 2
    distance = jnp.linalg.norm(middle - _centre(motion)[:, None, None], axis=-1)
    most = sums >= (1 - EQUAL_SUMS) * jnp.max(sums, axis=(1, 2), keepdims=True)
    distance = jnp.where(most, distance, jnp.inf)
    nearest = distance <= jnp.min(distance, axis=(1, 2), keepdims=True) + EQUAL_DISTANCES
    return top_left.reshape(-1, 2)[jnp.argmax(nearest.reshape(len(sums), -1), axis=-1)]


def best_window_on_host(
    motion: Float[np.ndarray, "h w"], window_hw: tuple[int, int]
) -> Float[np.ndarray, "2"]:
    """`best_window` of one map by NumPy and OpenCV, for threads that must not wait for the device.

    Its sums are in float64. So where the two find different windows, these are as good: they hold as much but
    for the rounding of float32.

    Args:
      motion: the motion map of the crop, finite, not negative, in float32.
      window_hw: height and width of the window, pixels.

    Returns: the centre of the window's top-left pixel, whole numbers in float32.
    Raises: ValueError as `best_window`; ImportError without OpenCV.
    """
    _check_window("best_window_on_host", motion[None], window_hw)
    height, width = window_hw
    integral = import_opencv().integral(np.ascontiguousarray(motion))
    strips = integral[height:] - integral[:-height]
    sums = strips[:, width:] - strips[:, :-width]
    top_left = np.argwhere(sums >= (1 - EQUAL_SUMS) * sums.max())
    middle = top_left + (np.array(window_hw) - 1) / 2
    distance = np.linalg.norm(middle - _centre_of_sums(integral), axis=-1)
    nearest = distance <= distance.min() + EQUAL_DISTANCES
    return top_left[np.argmax(nearest)].astype(np.float32)


@partial(jax.jit, static_argnames="level")
def best_windows(motion: Float[Array, "b h w"], level: Level) -> Float[Array, "b crops 2"]:
    """The window that holds the most motion in every crop of a frame, see `best_window`.

    Args:
      motion: the motion map of the level's frame.
      level: the crops lie at its left edges 0, 1, ..., crop_range.

    Returns: for each crop the window's top-left pixel, pixels of the crop.
    """

    def in_crop(left: Int[Array, ""]) -> Float[Array, "b 2"]:
        crop = jax.lax.dynamic_slice_in_dim(motion, left, level.crop_hw[1], axis=2)
        return best_window(crop, level.window_hw)

    return jnp.moveaxis(jax.lax.map(in_crop, jnp.arange(level.crop_range + 1)), 0, 1)


def _sums_along(values: Float[Array, "b h w"], size: int, axis: int) -> Float[Array, "b _ _"]:
    """Sums of `size` neighbours along an axis: the difference of two running sums."""
    padding = [(0, 0)] * values.ndim
    padding[axis] = (1, 0)
    running = jnp.pad(jnp.cumsum(values, axis), padding)
    length = running.shape[axis]
    return jax.lax.slice_in_dim(running, size, length, axis=axis) - jax.lax.slice_in_dim(
        running, 0, length - size, axis=axis
    )


def _centre(motion: Float[Array, "b h w"]) -> Float[Array, "b 2"]:
    """The centre of all motion, pixels (y, x); the middle of a map without any."""
    motion = jnp.where(jnp.any(motion > 0, axis=(1, 2), keepdims=True), motion, 1)
    total = jnp.sum(motion, axis=(1, 2))
    positions = (
        jnp.sum(jnp.sum(motion, axis=other) * jnp.arange(motion.shape[axis], dtype=motion.dtype), axis=1)
        for axis, other in ((1, 2), (2, 1))
    )
    return jnp.stack([position / total for position in positions], axis=-1)


def _centre_of_sums(integral: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, "2"]:
    """The same as `_centre`, from the sums above and left of each pixel."""
    along = [np.diff(integral[:, -1]), np.diff(integral[-1])]
    if integral[-1, -1] == 0:
        along = [np.ones_like(sums) for sums in along]
    return np.array([np.average(np.arange(len(sums)), weights=sums) for sums in along])


def _check_window(function: str, motion: Array | np.ndarray, window_hw: Sequence[int]) -> None:
    check_array(function, "motion", motion, "b h w")
    check_pair(function, "window_hw", window_hw, minimum=1)
    if any(size > whole for size, whole in zip(window_hw, motion.shape[1:], strict=True)):
        raise ValueError(
            f"{function}: window_hw must fit into motion of {motion.shape[1:]} pixels, "
            f"got {tuple(window_hw)}; use a smaller window or a larger crop"
        )
