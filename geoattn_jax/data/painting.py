"""Painting frames, and the flow between them, from simple shapes.

Colours are kept as planes (3, h, w): they vectorize, pixels of three numbers do not. Things are painted
inside windows of fixed sizes, so that what is small and moves costs little in every frame.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Painting(NamedTuple):
    """Frames in RGB, and how far each pixel moves until the next frame, (dy, dx), pixels."""

    frames: Float[Array, "t 3 h w"]
    flow: Float[Array, "t 2 h w"]


class Window(NamedTuple):
    """The y and the x of a window's pixels."""

    y: Float[Array, "h 1"]
    x: Float[Array, "1 w"]

    def seen_from(self, position: Float[Array, "t 2"]) -> tuple[Float[Array, "t h 1"], Float[Array, "t 1 w"]]:
        """How far down and to the right of a position, in each frame, the pixels are."""
        return self.y - position[:, 0, None, None], self.x - position[:, 1, None, None]


class Layer(NamedTuple):
    """One shape over what was painted before.

    Attributes:
      coverage: how much of each pixel it covers, 0 to 1.
      colour: of its pixels.
      velocity: how far it moves until the next frame, (dy, dx), pixels.
    """

    coverage: Float[Array, "#t h w"]
    colour: Float[Array, "*#t 3 #h #w"]
    velocity: Float[Array, "#t 2"]


class Thing(NamedTuple):
    """What is painted in one window.

    Attributes:
      centre: of the window, (y, x).
      hw: the window's height and width, which must hold the thing in every frame.
      layers: from back to front, given the window.
    """

    centre: Float[Array, "2"]
    hw: tuple[int, int]
    layers: Callable[[Window], Iterator[Layer]]


def add(painting: Painting, thing: Thing) -> Painting:
    """Paints a thing over a painting; a pixel's flow is that of the last layer that covers half of it."""
    hw, frame_hw = np.array(thing.hw, np.int32), np.array(painting.frames.shape[2:], np.int32)
    corner = jnp.clip(jnp.round(thing.centre).astype(jnp.int32) - hw // 2, 0, frame_hw - hw)
    y, x = (
        start.astype(jnp.float32) + np.arange(size, dtype=np.float32)
        for start, size in zip(corner, hw, strict=True)
    )
    place = (0, 0, corner[0], corner[1])
    frames, flow = (
        jax.lax.dynamic_slice(planes, place, (*planes.shape[:2], *thing.hw)) for planes in painting
    )
    for layer in thing.layers(Window(y[:, None], x[None])):
        coverage = layer.coverage[:, None]
        frames += coverage * (layer.colour - frames)
        flow = jnp.where(coverage >= 0.5, layer.velocity[:, :, None, None], flow)
    return Painting(
        jax.lax.dynamic_update_slice(painting.frames, frames, place),
        jax.lax.dynamic_update_slice(painting.flow, flow, place),
    )


# How much of each pixel a shape covers, given how far the pixel is from the shape's centre.


def box(
    y: Float[Array, "*#a"], x: Float[Array, "*#a"], height: float | int, width: float | int
) -> Float[Array, "*a"]:
    """An upright rectangle."""
    return jnp.clip((height + 1) / 2 - jnp.abs(y), 0, 1) * jnp.clip((width + 1) / 2 - jnp.abs(x), 0, 1)


def disc(y: Float[Array, "*#a"], x: Float[Array, "*#a"], radius: float | int) -> Float[Array, "*a"]:
    """A disc."""
    return jnp.clip(radius + 0.5 - jnp.sqrt(jnp.square(y) + jnp.square(x)), 0, 1)


def ellipse(
    y: Float[Array, "*#a"], x: Float[Array, "*#a"], half_height: float | int, half_width: float | int
) -> Float[Array, "*a"]:
    """An upright ellipse; its edge is about one pixel soft."""
    inside = 1 - jnp.square(y / half_height) - jnp.square(x / half_width)
    return jnp.clip(0.5 + inside * (min(half_height, half_width) / 2), 0, 1)


def lines(
    phase: Float[Array, "*a"], period: float | int | Float[Array, ""], width: float | int | Float[Array, ""]
) -> Float[Array, "*a"]:
    """Lines of a width where the phase is a whole number; period and width in pixels."""
    return jnp.clip((width + 1) / 2 - period * jnp.abs(phase - jnp.round(phase)), 0, 1)
