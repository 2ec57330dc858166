"""Optical flow of videos: computed with OpenCV, encoded in 8 bits, stacked for temporal streams.

Convention: a flow is (dy, dx) in pixels, from its frame to the next, as `kitchen.Clips.flow` is.

    flow = compute_flow(read_video("clip.mp4", resize_hw=(128, 170)).frames)
    motion = motion_map(flow[None])
    stacks = decode_stack(stack_flow(np.asarray(encode_flow(flow)), times))
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from geoattn_jax.data.video import check_frame, import_opencv, resize_image
from geoattn_jax.ops.checks import check_choice

FlowMethod = Literal["dis", "farneback", "tvl1"]
Stream = Literal["rgb", "flow"]  # of a two-stream recognizer

STREAMS = ("rgb", "flow")
BOUND = 20.0  # pixels: longer flows are clipped when encoded
STACK = 10  # flows around a frame that a temporal stream sees (Simonyan & Zisserman 2014)

LEVELS = 127  # of an encoded flow on either side of no motion
STILL = 128


def compute_flow(
    frames: UInt8[np.ndarray, "t h w 3"], *, method: FlowMethod = "dis"
) -> Float[np.ndarray, "t h w 2"]:
    """The flow from every frame to the next one; the last frame's repeats the one before.

    Convention: flows are (dy, dx) in pixels: what is at p in frame t is at p + flow[t, p] in frame t + 1.

    Args:
      frames: RGB, at least two.
      method: "dis" (Kroeger et al. 2016, OpenCV's preset "medium"), "farneback" (Farneback 2003) or "tvl1"
        (Zach et al. 2007, the usual choice of two-stream networks, some fifty times slower; only in OpenCV
        builds with contributed modules).

    Returns: the flows, float32.
    Raises: ValueError for an unknown method, frames that are not 8-bit RGB, of several sizes or too small for
      the method, or fewer than two; ImportError without OpenCV, or if its build does not have the method.
    """
    check_choice("compute_flow", "method", method, METHODS)
    flows = list(_flows("compute_flow", frames, method))
    if not flows:
        raise ValueError(f"compute_flow: frames must hold at least two frames, got shape {np.shape(frames)}")
    return np.stack(flows)


@partial(jax.jit, static_argnames="bound")
def encode_flow(flow: Float[Array, "*s"], *, bound: float = BOUND) -> UInt8[Array, "*s"]:
    """Flows in 8 bits a number: clipped to +-bound, which becomes 1 and 255; 128 is no motion.

    So stillness stays stillness, and the encoding of -flow is 256 minus that of flow.

    Args:
      flow: dy and dx, pixels.
      bound: pixels.
    """
    levels = jnp.round(jnp.clip(flow, -bound, bound) * (LEVELS / bound))
    return (levels + STILL).astype(jnp.uint8)


@partial(jax.jit, static_argnames="bound")
def decode_flow(encoded: UInt8[Array, "*s"], *, bound: float = BOUND) -> Float[Array, "*s"]:
    """Undoes `encode_flow`, to half a step of bound / 127; pixels, in float32."""
    return (encoded.astype(jnp.float32) - STILL) * (bound / LEVELS)


def stack_flow(
    encoded: UInt8[np.ndarray, "t h w 2"], times: Int[np.ndarray, " b"], *, length: int = STACK
) -> UInt8[np.ndarray, "b h w _"]:
    """The flows around some frames of a video, as a temporal stream sees them (Simonyan & Zisserman 2014).

    Around frame t lie the flows t - length // 2, ..., t - length // 2 + length - 1; beyond the video's ends
    its first and last are repeated. Works on the host, so that of a file mapped into memory no more is read.

    Args:
      encoded: the flow of every frame, by `encode_flow`.
      times: the frames, from 0 to t - 1.
      length: how many flows, L.

    Returns: still encoded; the 2L channels are dy and dx of the first flow, of the second and so on.
    """
    around = times[:, None] + np.arange(length) - length // 2
    flows = encoded[np.clip(around, 0, len(encoded) - 1)]
    return np.moveaxis(flows, 1, 3).reshape(len(times), *encoded.shape[1:3], 2 * length)


@partial(jax.jit, static_argnames="bound")
def decode_stack(stack: UInt8[Array, "b h w c"], *, bound: float = BOUND) -> Float[Array, "b h w c"]:
    """Stacks as networks get them: decoded, and from each flow its mean over the picture subtracted.

    Args:
      stack: by `stack_flow`.
      bound: as the flows were encoded with, pixels.

    Returns: pixels, in float32.
    """
    batch, height, width, channels = stack.shape
    # Whole numbers, summed over rows first: on a CPU several times as fast as the mean of the decoded flows.
    rows = jnp.sum(stack.reshape(batch, height, width * channels).astype(jnp.int32), axis=1)
    total = jnp.sum(rows.reshape(batch, width, channels), axis=1)
    mean = total.astype(jnp.float32) / (height * width)
    return (stack.astype(jnp.float32) - mean[:, None, None]) * (bound / LEVELS)


def resize_flow(flow: Float[np.ndarray, "h w 2"], hw: tuple[int, int]) -> Float[np.ndarray, "_ _ 2"]:
    """The flow of frames scaled to another size: its vectors are scaled as well.

    Args:
      flow: (dy, dx), pixels.
      hw: height and width of the scaled frames, pixels.

    Returns: (dy, dx), pixels of the scaled frames.
    """
    return resize_image(flow, hw) * (np.array(hw, flow.dtype) / np.array(flow.shape[:2], flow.dtype))


def iterate_flow(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]], *, method: FlowMethod = "dis"
) -> Iterator[Float[np.ndarray, "h w 2"]]:
    """The same as `compute_flow`, frame by frame; of less than two frames there is no flow."""
    check_choice("iterate_flow", "method", method, METHODS)
    return _flows("iterate_flow", frames, method)


def check_flow_method(method: FlowMethod) -> None:
    """Checks that flow can be computed by a method.

    Raises: ImportError without OpenCV, or if its build does not have the method.
    """
    METHODS[method](import_opencv())


def _flows(
    function: str, frames: Iterable[UInt8[np.ndarray, "h w 3"]], method: FlowMethod
) -> Iterator[Float[np.ndarray, "h w 2"]]:
    cv2 = import_opencv()
    calculate = METHODS[method](cv2)
    before, flow = None, None
    for number, frame in enumerate(frames):
        check_frame(function, frame, number)
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        if before is not None:
            if grey.shape != before.shape:
                raise ValueError(
                    f"{function}: frames must all be of one size, got {before.shape} pixels and, as frame "
                    f"{number}, {grey.shape}; scale them"
                )
            try:
                flow = calculate(before, grey)[..., ::-1]  # OpenCV's are (dx, dy)
            except cv2.error as error:
                raise ValueError(
                    f"{function}: method {method!r} failed on frames of {grey.shape} pixels ({error.err}); "
                    f"use larger frames or another method"
                ) from error
            yield flow
        before = grey
    if flow is not None:
        yield flow


Calculate = Callable[[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]], Float[np.ndarray, "h w 2"]]


def _dis(cv2: Any) -> Calculate:
    algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda first, second: algorithm.calc(first, second, None)


def _farneback(cv2: Any) -> Calculate:
    # The settings of OpenCV's own examples; its defaults iterate three times as often.
    algorithm = cv2.FarnebackOpticalFlow_create(
        numLevels=3, pyrScale=0.5, winSize=15, numIters=3, polyN=5, polySigma=1.2
    )
    return lambda first, second: algorithm.calc(first, second, None)


def _tvl1(cv2: Any) -> Calculate:
    if not hasattr(cv2, "optflow"):
        raise ImportError(
            "flow method 'tvl1' needs OpenCV's contributed modules, which this build lacks; "
            "pip install opencv-contrib-python-headless, or use 'dis'"
        )
    algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    return lambda first, second: algorithm.calc(first, second, None)


# A new one is one more entry, and its name in `FlowMethod`.
METHODS: dict[FlowMethod, Callable[[Any], Calculate]] = {
    "dis": _dis,
    "farneback": _farneback,
    "tvl1": _tvl1,
}
