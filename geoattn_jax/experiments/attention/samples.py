"""Samples, what supervised attention is given: cropped frames, with the hard-coded region of each crop."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, UInt8

MEAN, STD = 0.5, 0.25  # of the frames' pixels, about
# Of the light in training: a frame's gain, and one for each channel, from 1 minus to 1 plus this.
LIGHT_SPANS = np.array([0.2, 0.1, 0.1, 0.1], np.float32)


class Samples(NamedTuple):
    """A batch of single frames.

    Attributes:
      frames: RGB, normalized; 0, which is also what lies outside, is middle grey.
      top_left: (y, x) of the crop's first pixel, pixels of the frame.
      theta_2: of the hard-coded region in the crop.
      hand, panel: the centres (y, x) of the hand and of the level's panel, pixels of the crop; NaN where
        there is none. For evaluation and controls.
      labels: the classes.
      clips, times: which frame each is: its clip's number in the split, and its own number among those of the
        clip that the source has.
    """

    frames: Float[Array, "b h w 3"]
    top_left: Int[Array, "b 2"]
    theta_2: Float[Array, "b 2 3"]
    hand: Float[Array, "b 2"]
    panel: Float[Array, "b 2"]
    labels: Int[Array, " b"]
    clips: Int[Array, " b"]
    times: Int[Array, " b"]


class RawSamples(NamedTuple):
    """A batch of single frames on the host, as it was read; no device has seen it.

    Attributes:
      pictures: RGB, or the encoded flows around each frame, see `data.flow.stack_flow`.
      light: by which RGB is to be multiplied, see `relit`; 1 leaves it as it is.
      top_left: see `Samples`.
      windows: the hard-coded regions' top-left pixels (y, x), pixels of the crop.
      labels, clips, times: see `Samples`.
    """

    pictures: UInt8[np.ndarray, "b h w c"]
    light: Float[np.ndarray, "b 1 1 4"]
    top_left: Int[np.ndarray, "b 2"]
    windows: Float[np.ndarray, "b 2"]
    labels: Int[np.ndarray, " b"]
    clips: Int[np.ndarray, " b"]
    times: Int[np.ndarray, " b"]


def draw_light(random: np.random.Generator, count: int) -> Float[np.ndarray, "count 1 1 4"]:
    """For each of some frames a random gain, and three more for its channels; drawn on the host."""
    return (1 + LIGHT_SPANS * random.uniform(-1, 1, (count, 1, 1, 4))).astype(np.float32)


def relit(pixels: Float[Array, "b h w 3"], light: Float[Array, "b 1 1 4"]) -> Float[Array, "b h w 3"]:
    """Multiplies each frame by its gain, and each of its channels by another, see `draw_light`."""
    return pixels * (light[..., :1] * light[..., 1:])


def normalize(pixels: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Frames with pixels in [0, 1] as the networks get them."""
    return (pixels - MEAN) / STD


def pixels(frames: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Undoes `normalize`."""
    return MEAN + STD * frames
