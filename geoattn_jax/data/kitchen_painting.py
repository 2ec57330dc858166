"""Paints the scenes of KitchenMini and the flow between their frames.

The background is painted once for a clip. What moves stays within a few small windows, and only these are
painted for every frame.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.data.kitchen_scene import (
    COLOURS,
    FRAME_HW,
    FRAME_MIDDLE,
    FURNITURE_FROM_MIDDLE,
    Scene,
    in_group,
    pattern_waves,
    sway,
    swing,
)

COUNTER_TOP = 92
LAMP_Y = 5


class Panel(NamedTuple):
    """A bright rectangle with dark patterns, different on its inner and its outer half.

    The lines of board and mat are no wider than two pixels, so that 4x max-pooling, through which the detail
    level's localizer looks, leaves nothing of them.

    Attributes:
      across: the side perpendicular to the direction from the inner to the outer half.
      outward: the side in that direction.
      period: of the pattern's lines.
      dark: width of the lines.
      disc: radius of the disc.
      amplitude: how far its moving halves swing.
    """

    across: int
    outward: int
    frame: int
    period: float
    dark: float
    disc: float
    amplitude: float


TILE = Panel(across=20, outward=20, frame=1, period=3, dark=1.5, disc=6, amplitude=1.75)
BOARD = Panel(across=30, outward=40, frame=2, period=5, dark=2, disc=10, amplitude=0.6)
MAT = Panel(across=42, outward=30, frame=2, period=10.4, dark=2, disc=10, amplitude=0.6)
BAR_PERIOD, BAR_DARK = 20, 10  # on the tile in the context classes
BOARD_UP, BOARD_OUTWARD = 24, 32  # its centre, from the person's
MAT_Y = 108  # its centre; it lies below the person


class Movement(NamedTuple):
    """Where something is in each frame, and how far it moves until the next one, pixels (y, x)."""

    position: Float[Array, "t 2"]
    velocity: Float[Array, "t 2"]


class Layer(NamedTuple):
    """One thing over what was painted before.

    Attributes:
      coverage: how much of each pixel it covers.
      colour: its RGB, as planes.
      velocity: how far it moves until the next frame, (dy, dx), pixels.
    """

    coverage: Float[Array, "t h w"]
    colour: Float[Array, "#t 3 #h #w"]
    velocity: Float[Array, "t 2"]


class Painting(NamedTuple):
    """Frames and flow as planes, which vectorize better than pixels of three numbers."""

    frames: Float[Array, "t 3 h w"]
    flow: Float[Array, "t 2 h w"]


class Window(NamedTuple):
    """A part of the frame in which something is painted: the pixels' y (h, 1) and x (1, w)."""

    y: Float[Array, "h 1"]
    x: Float[Array, "1 w"]


def paint(scene: Scene, times: Int[Array, " t"]) -> Painting:
    """The frames of one scene at the given times, without noise, and the flow from each to its next."""
    painter = _Painter(scene, times)
    canvas = painter.background()
    t = len(times)
    return painter.foreground(
        Painting(
            jnp.broadcast_to(canvas, (t, *canvas.shape)), jnp.zeros((t, 2, *FRAME_HW), jnp.float32)
        )
    )


def hand_positions(scene: Scene, times: Int[Array, " t"]) -> Float[Array, "t 2"]:
    """Where the hand is, the centre of its tile, pixels (y, x); NaN where the clip shows none."""
    position = scene.hand + TILE.amplitude * swing(scene, times, scene.inner_swing)
    return jnp.where(in_group(scene.label, "background"), jnp.nan, position)


class _Painter:
    """Knows the scene and its movements."""

    def __init__(self, scene: Scene, times: Int[Array, " t"]):
        self.scene = scene
        self.times = times
        self.colour = {name: scene.colours[place, :, None, None] for place, name in enumerate(COLOURS)}
        self.sway = _movement(sway(scene, times), sway(scene, times + 1))
        self.inner, self.outer = (
            _movement(swing(scene, times, c), swing(scene, times + 1, c))
            for c in (scene.inner_swing, scene.outer_swing)
        )
        self.still = Movement(jnp.zeros((1, 2)), jnp.zeros((1, 2)))
        out = scene.outward
        self.board = scene.person + jnp.stack([jnp.full((), -BOARD_UP, jnp.float32), BOARD_OUTWARD * out])
        self.mat = jnp.stack([jnp.full((), MAT_Y, jnp.float32), scene.person[1]])

    def background(self) -> Float[Array, "3 h w"]:
        h, w = FRAME_HW
        y = jnp.arange(h, dtype=jnp.float32)[:, None]
        canvas = jnp.broadcast_to(
            jnp.where(y < COUNTER_TOP, self.colour["wall"], self.colour["counter"]), (1, 3, h, w)
        )
        painting = Painting(canvas, jnp.zeros((1, 2, h, w), jnp.float32))
        for side, piece in ((self.scene.fridge, self._fridge), (-self.scene.fridge, self._drawer)):
            centre = jnp.stack([jnp.full((), 56.0), FRAME_MIDDLE + FURNITURE_FROM_MIDDLE * side])
            painting = _paint_window(painting, centre, (84, 34), piece)
        for centre, hw, layers in (
            (self.board + self._outward(BOARD, -1), (34, 24), self._board_half("inner", self.still)),
            (self.mat - jnp.array([MAT.outward / 4, 0]), (20, 46), self._mat_half("inner", self.still)),
        ):
            painting = _paint_window(painting, centre, hw, layers)
        return painting.frames[0]

    def foreground(self, painting: Painting) -> Painting:
        scene = self.scene
        lamp = jnp.stack([jnp.full((), LAMP_Y, jnp.float32), scene.person[1]])
        for centre, hw, layers in (
            (lamp, (14, 40), self._lamp),
            (self.board + self._outward(BOARD, 1), (34, 24), self._board_half("outer", self.outer)),
            (self.mat + jnp.array([MAT.outward / 4, 0]), (20, 46), self._mat_half("outer", self.outer)),
            (scene.person - jnp.array([5.0, 0]), (72, 72), self._person_and_hand),
        ):
            painting = _paint_window(painting, centre, hw, layers)
        return painting

    def _outward(self, panel, sign):
        return jnp.stack([jnp.zeros(()), sign * self.scene.outward * panel.outward / 4])

    def _fridge(self, window: Window) -> Iterator[Layer]:
        x = window.x - (FRAME_MIDDLE + FURNITURE_FROM_MIDDLE * self.scene.fridge)
        yield self._still(_box(window.y - 56, x, 80, 30), "fridge")
        yield self._still(_box(window.y - 44, x + 10 * self.scene.fridge, 16, 3), "handle")

    def _drawer(self, window: Window) -> Iterator[Layer]:
        x = window.x - (FRAME_MIDDLE - FURNITURE_FROM_MIDDLE * self.scene.fridge)
        yield self._still(_box(window.y - 76, x, 40, 30), "drawer")
        for y in (66, 80):
            yield self._still(_box(window.y - y, x, 3, 12), "handle")

    def _still(self, coverage: Float[Array, "h w"], colour: str) -> Layer:
        return Layer(coverage[None], self.colour[colour], self.still.velocity)

    def _lamp(self, window: Window) -> Iterator[Layer]:
        y, x = _seen_from(jnp.stack([jnp.full((), LAMP_Y, jnp.float32), self.scene.person[1]]) + self.sway.position, window)
        yield Layer(_box(y, x, 8, 32), self.colour["lamp"], self.sway.velocity)

    def _person_and_hand(self, window: Window) -> Iterator[Layer]:
        y, x = _seen_from(self.scene.person + self.sway.position, window)
        x = x * self.scene.outward
        yield Layer(_ellipse(y - 2, x + 21, 5, 9), self.colour["shirt"], self.sway.velocity)
        stripe = _line(y * self.scene.shirt_wave[0] + x * self.scene.shirt_wave[1], 8, 4)[:, None]
        shirt = self.colour["shirt"] + stripe * (self.colour["stripe"] - self.colour["shirt"])
        yield Layer(_ellipse(y, x, 24, 15), shirt, self.sway.velocity)
        yield Layer(_ellipse(y + 30, x, 8, 8), self.colour["skin"], self.sway.velocity)
        shown = ~in_group(self.scene.label, "background")
        for half, movement in (("inner", self.inner), ("outer", self.outer)):
            y, x = _seen_from(self.scene.hand + TILE.amplitude * movement.position, window)
            yield self._half(TILE, half, y, x * self.scene.outward, movement, shown)

    def _board_half(self, half, movement):
        def layers(window: Window) -> Iterator[Layer]:
            y, x = _seen_from(self.board + BOARD.amplitude * movement.position, window)
            yield self._half(BOARD, half, y, x * self.scene.outward, movement, self._shows_panels())

        return layers

    def _mat_half(self, half, movement):
        def layers(window: Window) -> Iterator[Layer]:
            y, x = _seen_from(self.mat + MAT.amplitude * movement.position, window)
            yield self._half(MAT, half, x * self.scene.outward, y, movement, self._shows_panels())

        return layers

    def _shows_panels(self) -> Bool[Array, ""]:
        return in_group(self.scene.label, "texture", "motion")

    def _half(self, panel: Panel, half, across, outward, movement, shown) -> Layer:
        middle = panel.outward / 4 * (-1 if half == "inner" else 1)
        coverage = _box(across, outward - middle, panel.across, panel.outward / 2) * shown
        label = self.scene.label
        on_bars = in_group(label, "context")
        period = jnp.where(on_bars, BAR_PERIOD, panel.period)
        dark = jnp.where(on_bars, BAR_DARK, panel.dark)
        waves = pattern_waves(label, half)
        # Where two sets of lines cross they are thinner, so that every pattern is as dark as the others.
        crossing = (1 - jnp.sqrt(jnp.maximum(1 - 2 * dark / period, 0))) / 2 * period
        dark = jnp.where(jnp.all(jnp.any(waves != 0, axis=-1)), crossing, dark)
        first, second = (
            _line((across * wave[0] + outward * wave[1]) / period, period, dark) * jnp.any(wave != 0)
            for wave in waves
        )
        inside = _box(across, outward, panel.across - 2 * panel.frame, panel.outward - 2 * panel.frame)
        disc = jnp.clip(panel.disc + 0.5 - jnp.hypot(across, outward), 0, 1)
        darkness = jnp.where(in_group(label, "motion"), disc, inside * (first + second - 2 * first * second))
        colour = self.colour["light"] + darkness[:, None] * (self.colour["dark"] - self.colour["light"])
        return Layer(coverage, colour, panel.amplitude * movement.velocity)


def _movement(now: Float[Array, "t 2"], then: Float[Array, "t 2"]) -> Movement:
    return Movement(now, then - now)


def _seen_from(position: Float[Array, "t 2"], window: Window) -> tuple[Array, Array]:
    """How far the window's pixels are from a position that moves, y (t, h, 1) and x (t, 1, w)."""
    return tuple(axis - position[:, place, None, None] for place, axis in enumerate(window))


def _paint_window(painting: Painting, centre: Float[Array, "2"], hw: tuple[int, int], layers) -> Painting:
    corner = jnp.round(centre).astype(jnp.int32) - np.array(hw, np.int32) // 2
    corner = jnp.clip(corner, 0, np.array(FRAME_HW, np.int32) - np.array(hw, np.int32))
    start = corner.astype(jnp.float32)
    window = Window(start[0] + np.arange(hw[0], dtype=np.float32)[:, None], start[1] + np.arange(hw[1], dtype=np.float32))
    where = (0, 0, corner[0], corner[1])
    frames, flow = (
        jax.lax.dynamic_slice(planes, where, (*planes.shape[:2], *hw)) for planes in painting
    )
    for layer in layers(window):
        frames += layer.coverage[:, None] * (layer.colour - frames)
        flow = jnp.where(layer.coverage[:, None] >= 0.5, layer.velocity[:, :, None, None], flow)
    return Painting(*(jax.lax.dynamic_update_slice(planes, part, where) for planes, part in zip(painting, (frames, flow))))


def _box(y, x, height, width):
    """How much of each pixel an upright rectangle covers, given the pixels' distances from its centre."""
    return jnp.clip((height + 1) / 2 - jnp.abs(y), 0, 1) * jnp.clip((width + 1) / 2 - jnp.abs(x), 0, 1)


def _ellipse(y, x, half_height, half_width):
    """How much of each pixel an ellipse covers, about, given the pixels' distances from its centre."""
    inside = 1 - jnp.square(y / half_height) - jnp.square(x / half_width)
    return jnp.clip(0.5 + inside * (min(half_height, half_width) / 2), 0, 1)


def _line(phase, period, width):
    """How much of each pixel is on a line; lines run where the phase is a whole number."""
    return jnp.clip((width + 1) / 2 - period * jnp.abs(phase - jnp.round(phase)), 0, 1)
