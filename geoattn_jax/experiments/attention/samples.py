"""Samples, what supervised attention is given: cropped frames, with the hard-coded region of each crop."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

MEAN, STD = 0.5, 0.25  # of the frames' pixels, about
GAIN, CHANNEL_GAIN = 0.2, 0.1  # of the light in training, from 1 minus to 1 plus this


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


def draw_light(key: PRNGKeyArray, count: int) -> Float[Array, "b 1 1 3"]:
    """Factors of frames' pixels: a random gain of each frame times one of each of its channels."""
    gains = jax.random.uniform(key, (count, 1, 1, 4), minval=-1, maxval=1)
    return (1 + GAIN * gains[..., :1]) * (1 + CHANNEL_GAIN * gains[..., 1:])


def normalize(pixels: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Frames with pixels in [0, 1] as the networks get them."""
    return (pixels - MEAN) / STD


def pixels(frames: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Undoes `normalize`."""
    return MEAN + STD * frames


def portions(count: int, size: int) -> list[Int[np.ndarray, " b"]]:
    """The clips 0, 1, ..., `size` at a time."""
    indices = np.arange(count, dtype=np.int32)
    return [indices[start : start + size] for start in range(0, count, size)]
