"""KitchenMini: a small kitchen in which it can be tested where attention goes (after Liu et al. 2019).

A person sways, and a hand beside the person moves faster. What the person does shows on a *panel*, whose
inner half is nearer to the person than its outer half. The region with the most motion, R_h, lies on the
person and cuts the outer half off; attention that follows the action finds it. Every level of attention has a
panel of its own, with lines about three pixels apart in its frames, too fine for the more general levels:

- detail: the hand's tile, of which R_h shows half;
- middle: a board on the wall, its outer half beyond R_h's edge;
- general: a mat on the counter, its outer half below R_h.

The classes (`CLASS_NAMES`) are told apart by
- texture (6): two patterns of the inner halves times three of the outer ones;
- motion (3): a disc on the panels, whose outer halves move vertically, horizontally or in a circle;
- context (4): two bars on the tile, times the fridge or the drawer that the person is at; no board, no mat;
- background (1): no hand, board or mat.

A clip is a pure function of (seed, index), so a data set is a range of indices, and training can go on
drawing new ones in any order:

    kitchen = KitchenMini("train", level="detail")
    clips = render_clips(kitchen, seed, step * batch_size + jnp.arange(batch_size))

In a second one busy CPU core renders about 2,400 single frames of the detail level, or the flow of 1,100
clips.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.kitchen_actions import ACTION_GROUPS, ACTIONS, ActionGroup, labels_of
from geoattn_jax.data.kitchen_painting import PANEL_HW, hand_positions, paint, panel_positions
from geoattn_jax.data.kitchen_scene import FRAME_HW, NUM_FRAMES, Scene, draw_scene
from geoattn_jax.data.levels import LEVEL_NAMES, LEVELS, Level, LevelName
from geoattn_jax.data.splits import SPLITS, Split
from geoattn_jax.ops.checks import check_choice
from geoattn_jax.ops.coordinates import rescale_coords

CLASS_NAMES = tuple(action.name for action in ACTIONS)
CLASS_GROUPS: dict[ActionGroup, tuple[int, ...]] = {group: labels_of(group) for group in ACTION_GROUPS}
SUBJECTS = {"train": tuple(range(8)), "validation": (8,), "test": (9, 10, 11)}
CLIPS_EACH = 30  # of each class with each subject
NOISE = 0.03  # standard deviation


@dataclasses.dataclass(frozen=True)
class KitchenMini:
    """Which clips: everything but the seed and the index.

    Attributes:
      split: "train" (subjects 0 to 7), "validation" (subject 8) or "test" (subjects 9 to 11); a subject is a
        person in a kitchen, with colours of their own.
      level: "detail", "middle" or "general", the size of the frames; the same clip at every level.
    """

    split: Split
    level: LevelName = "detail"

    def __post_init__(self) -> None:
        check_choice("KitchenMini", "split", self.split, SPLITS)
        check_choice("KitchenMini", "level", self.level, LEVEL_NAMES)

    @property
    def sizes(self) -> Level:
        """The sizes of frames, crops and regions."""
        return LEVELS[self.level]

    @property
    def subjects(self) -> tuple[int, ...]:
        return SUBJECTS[self.split]

    @property
    def num_frames(self) -> int:
        return NUM_FRAMES

    @property
    def num_clips(self) -> int:
        """The size of the split: 30 clips of each class with each subject."""
        return len(self.subjects) * len(CLASS_NAMES) * CLIPS_EACH

    @property
    def pixels_per_reference(self) -> tuple[float, float]:
        """Length, in pixels along y and x, of what is one pixel at the detail level."""
        height, width = self.sizes.frame_hw
        return height / FRAME_HW[0], width / FRAME_HW[1]

    @property
    def panel_hw(self) -> tuple[float, float]:
        """Height and width of the level's own panel, pixels of the level."""
        (height, width), (along_y, along_x) = PANEL_HW[self.level], self.pixels_per_reference
        return along_y * height, along_x * width


class Clips(NamedTuple):
    """Rendered clips. Positions are for evaluation: no model is to see them.

    Attributes:
      frames: RGB in [0, 1].
      flow: how far what is in a pixel moves until the next frame, (dy, dx), pixels of the level; after the
        last frame comes the first.
      hand: the hand's centre, (y, x), pixels of the level; NaN without a hand.
      labels: the class.
      panel: the centre of the level's own panel, (y, x), pixels of the level; NaN without one.
    """

    frames: Float[Array, "b t h w 3"]
    flow: Float[Array, "b t h w 2"]
    hand: Float[Array, "b t 2"]
    labels: Int[Array, " b"]
    panel: Float[Array, "b t 2"]


@partial(jax.jit, static_argnums=0)
def render_clips(kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]) -> Clips:
    """The clips with the given indices; each depends on `seed` and its own index alone.

    Any `len(CLASS_NAMES) * len(subjects)` consecutive indices that begin at a multiple of that number hold
    every class with every subject once, in random order. The split is the first `num_clips`; those beyond are
    new. Under `jit` what is not used is not painted: `motion_map(render_clips(...).flow)` costs no colours.

    Args:
      kitchen: which clips.
      seed: of the whole world, all splits.
      indices: which clips.
    """
    times = jnp.broadcast_to(jnp.arange(NUM_FRAMES), (len(indices), NUM_FRAMES))
    return render_frames(kitchen, seed, indices, times)


@partial(jax.jit, static_argnums=0)
def render_frames(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"], times: Int[Array, "b t"]
) -> Clips:
    """Some frames of clips, just as `render_clips` renders them.

    Args:
      kitchen: which clips.
      seed: of the whole world, all splits.
      indices: which clips.
      times: which frames of each clip, from 0 to `num_frames` - 1.
    """
    scenes = draw_scenes(kitchen, seed, indices)
    painting = jax.vmap(paint)(scenes, times)
    frames = jnp.clip(painting.frames + _draw_noise(kitchen, seed, indices, times), 0, 1)
    flow = painting.flow
    hand = jax.vmap(hand_positions)(scenes, times)
    panel = jax.vmap(partial(panel_positions, level=kitchen.level))(scenes, times)

    hw, scale = kitchen.sizes.frame_hw, jnp.array(kitchen.pixels_per_reference, jnp.float32)
    if hw != FRAME_HW:
        # A sharp filter, so that lines too fine for the level leave no trace.
        frames = jnp.clip(_resize(frames, hw, "lanczos5"), 0, 1)
        flow = _resize(flow, hw, "linear") * scale[:, None, None]
        hand, panel = (rescale_coords(places, from_hw=FRAME_HW, to_hw=hw) for places in (hand, panel))
    frames, flow = (jnp.moveaxis(planes, 2, -1) for planes in (frames, flow))
    return Clips(frames, flow, hand, scenes.label, panel)


@partial(jax.jit, static_argnums=0)
def draw_scenes(kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]) -> Scene:
    """Draws what the clips with the given indices show; see `render_clips`."""
    return jax.vmap(lambda index: _draw_scene(kitchen, jax.random.key(seed), index))(indices)


def _draw_scene(kitchen: KitchenMini, key: PRNGKeyArray, index: Int[Array, ""]) -> Scene:
    subject_key, split_key, _ = jax.random.split(key, 3)
    order_key, clip_key = jax.random.split(jax.random.fold_in(split_key, SPLITS.index(kitchen.split)))
    block = len(CLASS_NAMES) * len(kitchen.subjects)
    epoch, place = jnp.divmod(index, block)
    order = jnp.argsort(jax.random.uniform(jax.random.fold_in(order_key, epoch), (block,)))
    place_of_subject, label = jnp.divmod(order[place], len(CLASS_NAMES))
    subject = kitchen.subjects[0] + place_of_subject
    return draw_scene(jax.random.fold_in(subject_key, subject), jax.random.fold_in(clip_key, index), label)


def _draw_noise(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"], times: Int[Array, "b t"]
) -> Float[Array, "b t 3 h w"]:
    """For every frame a piece of one larger picture of noise: drawing it anew would take most of the time."""
    _, _, key = jax.random.split(jax.random.key(seed), 3)
    picture_key, place_key = jax.random.split(jax.random.fold_in(key, SPLITS.index(kitchen.split)))
    picture = NOISE * jax.random.normal(picture_key, (3, 2 * FRAME_HW[0], 2 * FRAME_HW[1]))

    def cut(index: Int[Array, ""], time: Int[Array, ""]) -> Float[Array, "3 h w"]:
        key = jax.random.fold_in(jax.random.fold_in(place_key, index), time)
        y, x = jax.random.randint(key, (2,), 0, np.array(FRAME_HW, np.int32) + 1)
        return jax.lax.dynamic_slice(picture, (0, y, x), (3, *FRAME_HW))

    return jax.vmap(jax.vmap(cut, (None, 0)))(indices, times)


def _resize(planes: Float[Array, "b t c h w"], hw: tuple[int, int], method: str) -> Float[Array, "b t c _ _"]:
    """Scales planes; along the rows first, or XLA transposes the large planes on CPU, which takes longer."""
    for size in ((planes.shape[-2], hw[1]), hw):
        planes = jax.image.resize(planes, (*planes.shape[:3], *size), method, antialias=True)
    return planes
