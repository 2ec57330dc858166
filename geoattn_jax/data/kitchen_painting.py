"""Paints the scenes of KitchenMini: the kitchen, the person, and the panels that tell the classes apart."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.data.kitchen_actions import in_group, waves_on
from geoattn_jax.data.kitchen_scene import (
    COLOURS,
    FRAME_HW,
    FRAME_MIDDLE,
    FURNITURE_FROM_MIDDLE,
    Path,
    Scene,
    sway,
    swing,
)
from geoattn_jax.data.levels import LevelName
from geoattn_jax.data.painting import Layer, Painting, Thing, Window, add, box, disc, ellipse, lines

Half = Literal["inner", "outer"]

COUNTER_TOP = 92
FRIDGE_Y, FRIDGE_HW = 56, (80, 30)
DRAWER_Y, DRAWER_HW = 76, (40, 30)
LAMP_Y, LAMP_HW = 5, (8, 32)
TORSO_HALF_HW, HEAD_UP, HEAD_RADIUS = (24, 15), 30, 8
ARM_DOWN, ARM_INWARD, ARM_HALF_HW = 2, 21, (5, 9)  # the other arm's centre, from the person's
BAR_PERIOD = 20.0  # on the hand's tile; the bar is half of it


class Panel(NamedTuple):
    """A bright rectangle with dark patterns, one on its inner and one on its outer half.

    Attributes:
      across: the side perpendicular to the direction from the inner to the outer half.
      along: the side in that direction.
      margin: width of the bright edge around the patterns.
      period: of the patterns' lines.
      line: the lines' width.
      disc: the disc's radius.
      amplitude: how far its moving halves swing.
    """

    across: int
    along: int
    margin: int
    period: float
    line: float
    disc: float
    amplitude: float


# Each has lines about three pixels apart in the frames of the level that it is for; the next coarser level's
# frames have too few pixels for them. The lines of board and mat are two pixels wide at most, so that nothing
# of them is left by 4x max-pooling, through which the detail level's localizer looks.
TILE = Panel(across=20, along=20, margin=1, period=3.25, line=1.625, disc=6, amplitude=1.75)
BOARD = Panel(across=30, along=40, margin=2, period=5.0, line=2.0, disc=10, amplitude=0.6)
MAT = Panel(across=42, along=30, margin=2, period=10.4, line=2.0, disc=10, amplitude=0.6)
BOARD_UP, BOARD_OUTWARD = 24, 32  # its centre, from the person's
MAT_Y = 108  # its centre; it lies below the person, its outer half nearer to the frame's edge

# Height and width of each level's own panel.
PANEL_HW: dict[LevelName, tuple[int, int]] = {
    "detail": (TILE.across, TILE.along),
    "middle": (BOARD.across, BOARD.along),
    "general": (MAT.along, MAT.across),
}


def paint(scene: Scene, times: Int[Array, " t"]) -> Painting:
    """The frames of a scene at the given times, without noise, and the flow from each to the one after it."""
    still = Path(jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    kitchen = Painting(_walls(scene)[None], jnp.zeros((1, 2, *FRAME_HW)))
    for thing in (_fridge(scene), _drawer(scene), _board(scene, "inner", still), _mat(scene, "inner", still)):
        kitchen = add(kitchen, thing)

    person = sway(scene, times)
    inner, outer = (swing(movement, times) for movement in (scene.inner_swing, scene.outer_swing))
    painting = Painting(*(jnp.broadcast_to(planes, (len(times), *planes.shape[1:])) for planes in kitchen))
    for thing in (
        _lamp(scene, person),
        _board(scene, "outer", outer),
        _mat(scene, "outer", outer),
        _person_with_hand(scene, person, inner, outer),
    ):
        painting = add(painting, thing)
    return painting


def hand_positions(scene: Scene, times: Int[Array, " t"]) -> Float[Array, "t 2"]:
    """Where the hand is, the centre of its tile, pixels (y, x); NaN where the clip shows none."""
    inner, outer = (swing(movement, times) for movement in (scene.inner_swing, scene.outer_swing))
    moving = scene.hand + TILE.amplitude * (inner.displacement + outer.displacement) / 2
    return jnp.where(in_group(scene.label, "background"), jnp.nan, moving)


def panel_positions(scene: Scene, times: Int[Array, " t"], level: LevelName) -> Float[Array, "t 2"]:
    """Where the centre of the level's own panel is, pixels (y, x); NaN where the clip shows none."""
    if level == "detail":
        return hand_positions(scene, times)
    centre = _board_centre(scene) if level == "middle" else _mat_centre(scene)
    return jnp.broadcast_to(jnp.where(_has_board_and_mat(scene), centre, jnp.nan), (len(times), 2))


def _walls(scene: Scene) -> Float[Array, "3 h w"]:
    y = jnp.arange(FRAME_HW[0])[:, None]
    planes = jnp.where(y < COUNTER_TOP, _colour(scene, "wall"), _colour(scene, "counter"))
    return jnp.broadcast_to(planes, (3, *FRAME_HW))


def _fridge(scene: Scene) -> Thing:
    centre = _at(FRIDGE_Y, FRAME_MIDDLE + FURNITURE_FROM_MIDDLE * scene.fridge)

    def layers(window: Window) -> Iterator[Layer]:
        y, x = window.seen_from(centre[None])
        yield _still(scene, "fridge", box(y, x, *FRIDGE_HW))
        yield _still(scene, "handle", box(y + 12, x + 10 * scene.fridge, 16, 3))

    return Thing(centre, (84, 34), layers)


def _drawer(scene: Scene) -> Thing:
    centre = _at(DRAWER_Y, FRAME_MIDDLE - FURNITURE_FROM_MIDDLE * scene.fridge)

    def layers(window: Window) -> Iterator[Layer]:
        y, x = window.seen_from(centre[None])
        yield _still(scene, "drawer", box(y, x, *DRAWER_HW))
        for handle_y in (-10, 4):
            yield _still(scene, "handle", box(y - handle_y, x, 3, 12))

    return Thing(centre, (44, 34), layers)


def _lamp(scene: Scene, path: Path) -> Thing:
    """Its motion keeps the general level's R_h at the top of the frame."""
    centre = _at(LAMP_Y, scene.person[1])

    def layers(window: Window) -> Iterator[Layer]:
        y, x = window.seen_from(centre + path.displacement)
        yield Layer(box(y, x, *LAMP_HW), _colour(scene, "lamp"), path.velocity)

    return Thing(centre, (14, 40), layers)


def _person_with_hand(scene: Scene, path: Path, inner: Path, outer: Path) -> Thing:
    """The other arm's motion keeps the middle level's R_h with the person."""

    def layers(window: Window) -> Iterator[Layer]:
        y, x = window.seen_from(scene.person + path.displacement)
        outward = x * scene.outward
        shirt = _colour(scene, "shirt")
        yield Layer(ellipse(y - ARM_DOWN, outward + ARM_INWARD, *ARM_HALF_HW), shirt, path.velocity)
        stripes = lines(y * scene.stripes[0] + outward * scene.stripes[1], 8, 4)[:, None]
        striped = shirt + stripes * (_colour(scene, "stripe") - shirt)
        yield Layer(ellipse(y, x, *TORSO_HALF_HW), striped, path.velocity)
        yield Layer(disc(y + HEAD_UP, x, HEAD_RADIUS), _colour(scene, "skin"), path.velocity)
        for half, swinging in (("inner", inner), ("outer", outer)):
            moved = swinging.scaled(TILE.amplitude)
            y, x = window.seen_from(scene.hand + moved.displacement)
            shown = ~in_group(scene.label, "background")
            yield _panel_half(scene, TILE, half, y, x * scene.outward, moved, shown)

    return Thing(scene.person - jnp.array([5.0, 0.0]), (72, 76), layers)


def _board(scene: Scene, half: Half, path: Path) -> Thing:
    """Half of the board on the wall, beside the person's head."""
    centre, moved = _board_centre(scene), path.scaled(BOARD.amplitude)

    def layers(window: Window) -> Iterator[Layer]:
        y, x = window.seen_from(centre + moved.displacement)
        shown = _has_board_and_mat(scene)
        yield _panel_half(scene, BOARD, half, y, x * scene.outward, moved, shown)

    return Thing(centre + _at(0, _to_half(BOARD, half) * scene.outward), (34, 24), layers)


def _mat(scene: Scene, half: Half, path: Path) -> Thing:
    """Half of the mat on the counter, below the person; its outer half is the lower one."""
    centre, moved = _mat_centre(scene), path.scaled(MAT.amplitude)

    def layers(window: Window) -> Iterator[Layer]:
        y, x = window.seen_from(centre + moved.displacement)
        shown = _has_board_and_mat(scene)
        yield _panel_half(scene, MAT, half, x * scene.outward, y, moved, shown)

    return Thing(centre + _at(_to_half(MAT, half), jnp.zeros(())), (20, 46), layers)


def _board_centre(scene: Scene) -> Float[Array, "2"]:
    return scene.person + _at(-BOARD_UP, BOARD_OUTWARD * scene.outward)


def _mat_centre(scene: Scene) -> Float[Array, "2"]:
    return _at(MAT_Y, scene.person[1])


def _has_board_and_mat(scene: Scene) -> Bool[Array, ""]:
    return in_group(scene.label, "texture", "motion")


def _to_half(panel: Panel, half: Half) -> float:
    """How far along a panel the centre of its half is from its own."""
    return panel.along / 4 * (1 if half == "outer" else -1)


def _panel_half(
    scene: Scene,
    panel: Panel,
    half: Half,
    across: Float[Array, "t _ _"],
    along: Float[Array, "t _ _"],
    path: Path,
    shown: Bool[Array, ""],
) -> Layer:
    """Half of a panel, for pixels that are `across` and `along` from the panel's centre."""
    coverage = jnp.where(shown, box(across, along - _to_half(panel, half), panel.across, panel.along / 2), 0)
    inside = box(across, along, panel.across - 2 * panel.margin, panel.along - 2 * panel.margin)
    dark = jnp.where(
        in_group(scene.label, "motion"),
        disc(across, along, panel.disc),
        inside * _pattern(scene, panel, half, across, along),
    )[:, None]
    light = _colour(scene, "light")
    return Layer(coverage, light + dark * (_colour(scene, "dark") - light), path.velocity)


def _pattern(
    scene: Scene, panel: Panel, half: Half, across: Float[Array, "t _ _"], along: Float[Array, "t _ _"]
) -> Float[Array, "t h w"]:
    """How dark each pixel is: on a line of one of the two waves, but not where their lines cross."""
    bar = in_group(scene.label, "context")
    period = jnp.where(bar, BAR_PERIOD, panel.period)
    share = jnp.where(bar, 0.5, panel.line / panel.period)
    waves = waves_on(scene.label, half)
    used = jnp.any(waves != 0, axis=-1)
    # Two sets of lines are thinner, so that together they darken the panel as much as one.
    share = jnp.where(jnp.all(used), (1 - jnp.sqrt(1 - 2 * jnp.minimum(share, 0.5))) / 2, share)
    first, second = (
        jnp.where(here, lines((across * wave[0] + along * wave[1]) / period, period, share * period), 0)
        for wave, here in zip(waves, used, strict=True)
    )
    return first + second - 2 * first * second


def _at(y: float | int, x: Float[Array, ""]) -> Float[Array, "2"]:
    return jnp.stack([jnp.full_like(x, y), x])


def _colour(scene: Scene, name: str) -> Float[Array, "3 1 1"]:
    return scene.colours[COLOURS.index(name), :, None, None]


def _still(scene: Scene, colour: str, coverage: Float[Array, "1 h w"]) -> Layer:
    return Layer(coverage, _colour(scene, colour), jnp.zeros((1, 2)))
