"""What the clips of KitchenMini show: classes, people, places and movements.

Lengths are pixels of the detail level's frames; positions are (y, x), y down. *Outward* is the direction from
the person to the hand, 1 to the right and -1 to the left: everything about the hand is laid out along it, so a
mirrored clip is a clip of the same class.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

FRAME_HW = (128, 170)
NUM_FRAMES = 10

INNER_TEXTURES = ("vertical", "horizontal")
OUTER_TEXTURES = ("rising", "falling", "checked")
DISC_MOTIONS = ("vertical", "horizontal", "round")
FURNITURE = ("fridge", "drawer")

ClassGroup = Literal["texture", "motion", "context", "background"]

# Every class: its group, the patterns of the inner and the outer half of its panels, how the outer half moves,
# and the piece of furniture that the person stands at.
_CLASSES = {
    **{
        f"{inner}_{outer}": ("texture", inner, outer, "diagonal", None)
        for inner in INNER_TEXTURES
        for outer in OUTER_TEXTURES
    },
    **{f"disc_{motion}": ("motion", "disc", "disc", motion, None) for motion in DISC_MOTIONS},
    **{
        f"{bar}_bar_{furniture}": ("context", bar, bar, "diagonal", furniture)
        for bar in INNER_TEXTURES
        for furniture in FURNITURE
    },
    "background": ("background", "plain", "plain", "diagonal", None),
}
CLASS_NAMES = tuple(_CLASSES)
CLASS_GROUPS: dict[ClassGroup, tuple[int, ...]] = {
    group: tuple(label for label, (of, *_) in enumerate(_CLASSES.values()) if of == group)
    for group in ("texture", "motion", "context", "background")
}

# The two waves of a pattern, (across, outward) in periods; a pixel is dark where it is on a line of just one.
_WAVES = {
    "vertical": ((0, 1), (0, 0)),
    "horizontal": ((1, 0), (0, 0)),
    "rising": ((1, 1), (0, 0)),
    "falling": ((1, -1), (0, 0)),
    "checked": ((1, 0), (0, 1)),
    "disc": ((0, 0), (0, 0)),
    "plain": ((0, 0), (0, 0)),
}
# The coefficients (y, outward) of sine and cosine, all of the same mean square velocity.
_SWINGS = {
    "vertical": ((1, 0), (0, 0)),
    "horizontal": ((0, 1), (0, 0)),
    "diagonal": ((np.sqrt(0.5), np.sqrt(0.5)), (0, 0)),
    "round": ((np.sqrt(0.5), 0), (0, np.sqrt(0.5))),
}

# Both periods go into the clip a whole number of times, so that the mean square velocity over its flows does
# not depend on the phase and the last flow leads back to the first frame.
SWAY_PERIOD = 5  # frames
SWAY = (0.6, 1.9)  # amplitude of the person, (y, x)
SWING_PERIOD = 10 / 3  # frames

FRAME_MIDDLE = (FRAME_HW[1] - 1) / 2
PERSON_Y, PERSON_Y_SPREAD, PERSON_X_SPREAD = 56, 5, 14
FURNITURE_FROM_MIDDLE = 67.5
PERSON_FROM_FURNITURE = 38
HAND_DOWN, HAND_OUTWARD = (8, 16), (18, 23)  # ranges, from the person's centre
BRIGHTNESS_SPREAD = 0.15

COLOURS = ("wall", "counter", "skin", "shirt", "stripe", "fridge", "drawer", "handle", "light", "dark", "lamp")


class Scene(NamedTuple):
    """What a clip shows, before it is painted.

    Attributes:
      label: the class.
      colours: RGB in [0, 1] of each of `COLOURS`.
      shirt_wave: of the stripes on the shirt, (y, outward), periods per pixel.
      outward: 1 if the hand is to the right of the person, -1 if to the left.
      fridge: 1 if the fridge is on the right and the drawer on the left, -1 the other way round.
      person: the mean position of the person's centre.
      hand: the mean position of the hand.
      sway_phase: of the person's movement, (y, x), radians.
      swing_phase: of the hand's, radians.
      inner_swing: coefficients (y, x) of sine and cosine of the panels' inner halves.
      outer_swing: the same of their outer halves.
    """

    label: Int[Array, ""]
    colours: Float[Array, "colours 3"]
    shirt_wave: Float[Array, "2"]
    outward: Float[Array, ""]
    fridge: Float[Array, ""]
    person: Float[Array, "2"]
    hand: Float[Array, "2"]
    sway_phase: Float[Array, "2"]
    swing_phase: Float[Array, ""]
    inner_swing: Float[Array, "2 2"]
    outer_swing: Float[Array, "2 2"]


def draw_scene(subject_key: PRNGKeyArray, clip_key: PRNGKeyArray, label: Int[Array, ""]) -> Scene:
    """Draws a clip of a class; clips with the same `subject_key` show the same person in the same kitchen."""
    place_key, phase_key = jax.random.split(clip_key)
    side, swap, sense, y, x, down, out, brightness = jax.random.uniform(place_key, (8,), minval=-1)
    outward, swapped, turned = (jnp.where(number < 0, -1.0, 1.0) for number in (side, swap, sense))
    at_fridge, at_drawer = (_stands_at(label, furniture) for furniture in FURNITURE)
    person_x = FRAME_MIDDLE + jnp.where(
        at_fridge | at_drawer, outward * (FURNITURE_FROM_MIDDLE - PERSON_FROM_FURNITURE), PERSON_X_SPREAD * x
    )
    person = jnp.stack([PERSON_Y + PERSON_Y_SPREAD * y, person_x])
    hand = person + jnp.stack([_within(HAND_DOWN, down), outward * _within(HAND_OUTWARD, out)])
    swings = np.array([_SWINGS[motion] for _, _, _, motion, _ in _CLASSES.values()], np.float32)
    sense = jnp.stack([turned, outward])
    phases = jax.random.uniform(phase_key, (3,), maxval=2 * np.pi)
    colours, shirt_wave = _draw_subject(subject_key)
    return Scene(
        label=label,
        colours=jnp.clip(colours * (1 + BRIGHTNESS_SPREAD * brightness), 0, 1),
        shirt_wave=shirt_wave,
        outward=outward,
        fridge=jnp.where(at_fridge, outward, jnp.where(at_drawer, -outward, swapped)),
        person=person,
        hand=hand,
        sway_phase=phases[:2],
        swing_phase=phases[2],
        inner_swing=jnp.array(_SWINGS["diagonal"], jnp.float32) * sense,
        outer_swing=jnp.asarray(swings)[label] * sense,
    )


def _within(bounds: tuple[float, float], number: Float[Array, ""]) -> Float[Array, ""]:
    """A number from [-1, 1] in the range `bounds`."""
    low, high = bounds
    return (low + high) / 2 + (high - low) / 2 * number


def _draw_subject(key: PRNGKeyArray) -> tuple[Float[Array, "colours 3"], Float[Array, "2"]]:
    """The colours that a subject's clips have in common, and the wave of the stripes on the shirt."""
    tone, angle, width, *rest = jax.random.uniform(key, (10,))
    wall, shirt = jnp.stack(rest[:3]), jnp.stack(rest[3:6])
    shirt = 0.2 + 0.6 * shirt
    colours = {
        "wall": 0.55 + 0.2 * wall,
        "counter": jnp.array([0.5, 0.36, 0.24]) + 0.15 * rest[6],
        "skin": jnp.array([0.45, 0.3, 0.2]) + tone * jnp.array([0.45, 0.42, 0.4]),
        "shirt": shirt,
        "stripe": shirt + jnp.where(shirt.mean() > 0.5, -0.18, 0.18),
        "fridge": jnp.array([0.82, 0.86, 0.9]),
        "drawer": jnp.array([0.62, 0.44, 0.22]),
        "handle": jnp.array([0.2, 0.2, 0.22]),
        "light": jnp.array([0.85, 0.84, 0.8]),
        "dark": jnp.array([0.12, 0.1, 0.14]),
        "lamp": jnp.array([0.85, 0.75, 0.3]),
    }
    angle = np.pi * angle
    wave = jnp.stack([jnp.sin(angle), jnp.cos(angle)]) / (7 + 4 * width)
    return jnp.stack([colours[name] for name in COLOURS]), wave


def in_group(label: Int[Array, ""], *groups: ClassGroup) -> Bool[Array, ""]:
    """Whether the class belongs to one of the groups."""
    return jnp.asarray(np.array([of in groups for of, *_ in _CLASSES.values()]))[label]


def _stands_at(label: Int[Array, ""], furniture: str) -> Bool[Array, ""]:
    return jnp.asarray(np.array([at == furniture for *_, at in _CLASSES.values()]))[label]


def pattern_waves(label: Int[Array, ""], half: Literal["inner", "outer"]) -> Float[Array, "2 2"]:
    """The two waves, (across, outward) in periods, of the pattern on a half of the class's panels."""
    patterns = [traits[1 if half == "inner" else 2] for traits in _CLASSES.values()]
    return jnp.asarray(np.array([_WAVES[pattern] for pattern in patterns], np.float32))[label]


def sway(scene: Scene, times: Int[Array, " t"]) -> Float[Array, "t 2"]:
    """How far the person, and the lamp, are from their mean position."""
    angle = 2 * np.pi / SWAY_PERIOD * times.astype(jnp.float32)[:, None] + scene.sway_phase
    return jnp.array(SWAY) * jnp.sin(angle)


def swing(scene: Scene, times: Int[Array, " t"], coefficients: Float[Array, "2 2"]) -> Float[Array, "t 2"]:
    """How far a half of a panel is from its mean position, in amplitudes of the panel."""
    angle = 2 * np.pi / SWING_PERIOD * times.astype(jnp.float32)[:, None] + scene.swing_phase
    return coefficients[0] * jnp.sin(angle) + coefficients[1] * jnp.cos(angle)
