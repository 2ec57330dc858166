"""The fourteen classes of KitchenMini, and what tells them apart."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

ActionGroup = Literal["texture", "motion", "context", "background"]
Pattern = Literal["vertical", "horizontal", "rising", "falling", "checked", "disc", "plain"]
Swing = Literal["vertical", "horizontal", "diagonal", "round"]
Furniture = Literal["fridge", "drawer"]

ACTION_GROUPS = ("texture", "motion", "context", "background")

# Neither set holds a pattern of the other, mirrored or not: what is inner and what is outer shows.
INNER_TEXTURES = ("vertical", "horizontal")
OUTER_TEXTURES = ("rising", "falling", "checked")
DISC_SWINGS = ("vertical", "horizontal", "round")
BARS = ("vertical", "horizontal")
FURNITURE = ("fridge", "drawer")

# A pattern's two sets of lines, as waves (across, outward) in periods; a pixel is dark on one of the two.
_WAVES = {
    "vertical": ((0, 1), (0, 0)),
    "horizontal": ((1, 0), (0, 0)),
    "rising": ((1, 1), (0, 0)),
    "falling": ((1, -1), (0, 0)),
    "checked": ((1, 0), (0, 1)),
    "disc": ((0, 0), (0, 0)),
    "plain": ((0, 0), (0, 0)),
}
# The parts (y, outward) of sine and cosine; all swings have the same mean square velocity.
_SWINGS = {
    "vertical": ((1, 0), (0, 0)),
    "horizontal": ((0, 1), (0, 0)),
    "diagonal": ((np.sqrt(0.5), np.sqrt(0.5)), (0, 0)),
    "round": ((np.sqrt(0.5), 0), (0, np.sqrt(0.5))),
}


@dataclasses.dataclass(frozen=True)
class Action:
    """One class.

    Attributes:
      name: of the class.
      group: what tells it from the others.
      inner: pattern on the inner half of the panels.
      outer: pattern on their outer half.
      swing: how the outer half moves; the inner one always moves diagonally.
      furniture: what the person stands at, None for in between.
    """

    name: str
    group: ActionGroup
    inner: Pattern
    outer: Pattern
    swing: Swing = "diagonal"
    furniture: Furniture | None = None


ACTIONS = (
    *(Action(f"{i}_{o}", "texture", i, o) for i in INNER_TEXTURES for o in OUTER_TEXTURES),
    *(Action(f"disc_{swing}", "motion", "disc", "disc", swing=swing) for swing in DISC_SWINGS),
    *(Action(f"{bar}_bar_{at}", "context", bar, bar, furniture=at) for bar in BARS for at in FURNITURE),
    Action("background", "background", "plain", "plain"),
)


def labels_of(group: ActionGroup) -> tuple[int, ...]:
    """The labels of the classes in a group."""
    return tuple(label for label, action in enumerate(ACTIONS) if action.group == group)


def in_group(label: Int[Array, ""], *groups: ActionGroup) -> Bool[Array, ""]:
    """Whether the class belongs to one of the groups."""
    return _table([action.group in groups for action in ACTIONS], bool)[label]


def stands_at(label: Int[Array, ""], furniture: Furniture) -> Bool[Array, ""]:
    """Whether the class's person stands at this piece of furniture."""
    return _table([action.furniture == furniture for action in ACTIONS], bool)[label]


def waves_on(label: Int[Array, ""], half: Literal["inner", "outer"]) -> Float[Array, "2 2"]:
    """The two waves, (across, outward) in periods, of the pattern on one half of the class's panels."""
    return _table([_WAVES[getattr(action, half)] for action in ACTIONS], np.float32)[label]


def swing_of(label: Int[Array, ""], half: Literal["inner", "outer"]) -> Float[Array, "2 2"]:
    """The parts (y, outward) of sine and of cosine in how one half of the class's panels moves."""
    swings = [action.swing if half == "outer" else "diagonal" for action in ACTIONS]
    return _table([_SWINGS[swing] for swing in swings], np.float32)[label]


def _table(rows: list, dtype: type) -> Array:
    return jnp.asarray(np.array(rows, dtype))
