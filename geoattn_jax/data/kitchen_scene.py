"""What the clips of KitchenMini show: who is where, and how they move.

Lengths are pixels of the detail level's frames; positions are (y, x), y down. *Outward* is the direction from
the person to the hand, 1 to the right and -1 to the left: everything about the hand is laid out along it, so
that a mirrored clip is a clip of the same class.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.kitchen_actions import FURNITURE, stands_at, swing_of

FRAME_HW = (128, 170)
NUM_FRAMES = 10

FRAME_MIDDLE = (FRAME_HW[1] - 1) / 2
FURNITURE_FROM_MIDDLE = 67.5
PERSON_FROM_FURNITURE = 38
# Ranges.
PERSON_Y, PERSON_FROM_MIDDLE = (51, 61), (-14, 14)
HAND_DOWN, HAND_OUTWARD = (8, 16), (18, 23)  # from the person's centre
BRIGHTNESS = (0.85, 1.15)

# Both periods go into a clip a whole number of times: the last flow leads back to the first frame, and the
# mean square velocity does not depend on the phase.
SWAY_PERIOD = 5  # frames
SWAY_AMPLITUDE = (0.6, 1.9)  # (y, x)
SWING_PERIOD = 10 / 3  # frames

COLOURS = (
    "wall",
    "counter",
    "skin",
    "shirt",
    "stripe",
    "fridge",
    "drawer",
    "handle",
    "light",
    "dark",
    "lamp",
)


class Swing(NamedTuple):
    """How half of a panel moves, with an amplitude of one pixel.

    Attributes:
      parts: of sine and of cosine, (y, x).
      phase: radians.
      rest: where the middle of the movement is, (y, x), from where the half belongs.
    """

    parts: Float[Array, "2 2"]
    phase: Float[Array, ""]
    rest: Float[Array, "2"]


class Scene(NamedTuple):
    """What a clip shows, before it is painted.

    Attributes:
      label: the class.
      colours: RGB in [0, 1] of each of `COLOURS`.
      stripes: the wave of the shirt's, (y, outward), periods per pixel.
      outward: 1 if the hand is to the right of the person, -1 if to the left.
      fridge: 1 if the fridge is on the right and the drawer on the left, -1 the other way round.
      person: the mean position of the person's centre.
      hand: the mean position of the hand.
      sway_phase: of how the person moves, (y, x), radians.
      inner_swing: how the inner halves of hand, board and mat move.
      outer_swing: how their outer halves move.
    """

    label: Int[Array, ""]
    colours: Float[Array, "colours 3"]
    stripes: Float[Array, "2"]
    outward: Float[Array, ""]
    fridge: Float[Array, ""]
    person: Float[Array, "2"]
    hand: Float[Array, "2"]
    sway_phase: Float[Array, "2"]
    inner_swing: Swing
    outer_swing: Swing


class Path(NamedTuple):
    """Displacements from a mean position in some frames, and how far it is to the next frames', (y, x)."""

    displacement: Float[Array, "t 2"]
    velocity: Float[Array, "t 2"]

    def scaled(self, amplitude: float | int) -> "Path":
        return Path(amplitude * self.displacement, amplitude * self.velocity)


def draw_scene(subject_key: PRNGKeyArray, clip_key: PRNGKeyArray, label: Int[Array, ""]) -> Scene:
    """Draws a clip of a class; clips with the same `subject_key` show the same person in the same kitchen."""
    place_key, side_key, phase_key = jax.random.split(clip_key, 3)
    y, x, down, out, brightness = (
        low + (high - low) * number
        for number, (low, high) in zip(
            jax.random.uniform(place_key, (5,)),
            (PERSON_Y, PERSON_FROM_MIDDLE, HAND_DOWN, HAND_OUTWARD, BRIGHTNESS),
            strict=True,
        )
    )
    outward, fridge, up_or_down = jax.random.rademacher(side_key, (3,), jnp.float32)
    phases = jax.random.uniform(phase_key, (6,), maxval=2 * np.pi)
    colours, stripes = _draw_subject(subject_key)

    at_fridge, at_drawer = (stands_at(label, piece) for piece in FURNITURE)
    at_furniture = outward * (FURNITURE_FROM_MIDDLE - PERSON_FROM_FURNITURE)
    person = jnp.stack([y, FRAME_MIDDLE + jnp.where(at_fridge | at_drawer, at_furniture, x)])
    directions = jnp.stack([up_or_down, outward])
    outer_parts = swing_of(label, "outer") * directions
    return Scene(
        label=label,
        colours=jnp.clip(brightness * colours, 0, 1),
        stripes=stripes,
        outward=outward,
        fridge=jnp.where(at_fridge, outward, jnp.where(at_drawer, -outward, fridge)),
        person=person,
        hand=person + jnp.stack([down, outward * out]),
        sway_phase=phases[:2],
        inner_swing=Swing(swing_of(label, "inner") * directions, phases[2], jnp.zeros(2)),
        outer_swing=Swing(outer_parts, phases[3], _rest(outer_parts, phases[4:])),
    )


def _rest(parts: Float[Array, "2 2"], phases: Float[Array, "2"]) -> Float[Array, "2"]:
    """Varies as much, along each axis, as the movement varies less than a full swing.

    Where a half is in a single frame then tells nothing of how it moves.
    """
    missing = 1 - jnp.sum(jnp.square(parts), axis=0)
    return jnp.sqrt(jnp.maximum(missing, 0)) * jnp.sin(phases)


def sway(scene: Scene, times: Int[Array, " t"]) -> Path:
    """How the person, and the lamp, move."""

    def at(times: Int[Array, " t"]) -> Float[Array, "t 2"]:
        angle = _angle(times, SWAY_PERIOD)[:, None] + scene.sway_phase
        return jnp.array(SWAY_AMPLITUDE, jnp.float32) * jnp.sin(angle)

    return _path(at(times), at(times + 1))


def swing(movement: Swing, times: Int[Array, " t"]) -> Path:
    """How half of a panel moves, with an amplitude of one pixel."""

    def at(times: Int[Array, " t"]) -> Float[Array, "t 2"]:
        angle = _angle(times, SWING_PERIOD)[:, None] + movement.phase
        return movement.rest + movement.parts[0] * jnp.sin(angle) + movement.parts[1] * jnp.cos(angle)

    return _path(at(times), at(times + 1))


def _angle(times: Int[Array, " t"], period: float | int) -> Float[Array, " t"]:
    return 2 * np.pi / period * times.astype(jnp.float32)


def _path(now: Float[Array, "t 2"], then: Float[Array, "t 2"]) -> Path:
    return Path(now, then - now)


def _draw_subject(key: PRNGKeyArray) -> tuple[Float[Array, "colours 3"], Float[Array, "2"]]:
    """The colours that a subject's clips have in common, and the stripes of the shirt."""
    colour_key, shade_key, stripe_key = jax.random.split(key, 3)
    wall, shirt = jax.random.uniform(colour_key, (6,)).reshape(2, 3)
    skin, wood = jax.random.uniform(shade_key, (2,))
    angle, width = jax.random.uniform(stripe_key, (2,))
    shirt = 0.2 + 0.6 * shirt
    colours = {
        "wall": 0.55 + 0.2 * wall,
        "counter": jnp.array([0.5, 0.36, 0.24]) + 0.15 * wood,
        "skin": jnp.array([0.45, 0.3, 0.2]) + jnp.array([0.45, 0.42, 0.4]) * skin,
        "shirt": shirt,
        "stripe": shirt + jnp.where(shirt.mean() > 0.5, -0.18, 0.18),
        "fridge": jnp.array([0.82, 0.86, 0.9]),
        "drawer": jnp.array([0.62, 0.44, 0.22]),
        "handle": jnp.array([0.2, 0.2, 0.22]),
        "light": jnp.array([0.85, 0.84, 0.8]),
        "dark": jnp.array([0.12, 0.1, 0.14]),
        "lamp": jnp.array([0.85, 0.75, 0.3]),
    }
    direction = jnp.stack([jnp.sin(np.pi * angle), jnp.cos(np.pi * angle)])
    return jnp.stack([colours[name] for name in COLOURS]), direction / (7 + 4 * width)
