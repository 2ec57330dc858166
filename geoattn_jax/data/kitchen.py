"""KitchenMini: a small world in which attention must find the hand, the board or the mat.

A clip is a pure function of (seed, index), so a data set is a range of indices, and a training step's batch is
`step * batch_size + jnp.arange(batch_size)`:

    kitchen = KitchenMini(split="train", level="detail")
    frames, flow, hand, labels = render_clips(kitchen, seed, indices)
"""

import dataclasses
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.kitchen_painting import hand_positions, paint
from geoattn_jax.data.kitchen_scene import CLASS_GROUPS, CLASS_NAMES, FRAME_HW, NUM_FRAMES, ClassGroup, Scene, draw_scene
from geoattn_jax.data.levels import LEVEL_NAMES, LEVELS, Level, LevelName
from geoattn_jax.ops.checks import check_choice

Split = Literal["train", "validation", "test"]

SPLITS = ("train", "validation", "test")
SUBJECTS = {"train": tuple(range(8)), "validation": (8,), "test": (9, 10, 11)}
CLIPS_PER_CLASS = 30  # of each subject
NOISE = 0.03  # standard deviation


@dataclasses.dataclass(frozen=True)
class KitchenMini:
    """Which clips: everything but the seed and the index.

    Attributes:
      split: "train" (subjects 0 to 7), "validation" (subject 8) or "test" (subjects 9 to 11).
      level: the sizes of the frames, see `LEVELS`; a clip shows the same at every level.
    """

    split: Split
    level: LevelName = "detail"

    def __post_init__(self) -> None:
        check_choice("KitchenMini", "split", self.split, SPLITS)
        check_choice("KitchenMini", "level", self.level, LEVEL_NAMES)

    @property
    def sizes(self) -> Level:
        return LEVELS[self.level]

    @property
    def subjects(self) -> tuple[int, ...]:
        return SUBJECTS[self.split]

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES

    @property
    def class_groups(self) -> dict[ClassGroup, tuple[int, ...]]:
        """The labels of each group."""
        return CLASS_GROUPS

    @property
    def num_frames(self) -> int:
        return NUM_FRAMES

    @property
    def num_clips(self) -> int:
        """30 clips of each class and subject; indices beyond it are further clips."""
        return len(self.subjects) * len(CLASS_NAMES) * CLIPS_PER_CLASS


class Clips(NamedTuple):
    """Rendered clips.

    Attributes:
      frames: RGB in [0, 1].
      flow: where each pixel goes until the next frame, (dy, dx), pixels of the level.
      hand: where the hand is, (y, x), pixels of the level; NaN in the class "background". For evaluation only.
      labels: the class.
    """

    frames: Float[Array, "b t h w 3"]
    flow: Float[Array, "b t h w 2"]
    hand: Float[Array, "b t 2"]
    labels: Int[Array, " b"]


@partial(jax.jit, static_argnums=0)
def render_clips(kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]) -> Clips:
    """The clips with the given indices; each depends on `seed` and its own index alone."""
    times = jnp.broadcast_to(jnp.arange(NUM_FRAMES), (len(indices), NUM_FRAMES))
    return render_frames(kitchen, seed, indices, times)


@partial(jax.jit, static_argnums=0)
def render_frames(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"], times: Int[Array, "b t"]
) -> Clips:
    """Only the frames `times` of the clips with the given indices."""
    scenes = draw_scenes(kitchen, seed, indices)
    painting = jax.vmap(paint)(scenes, times)
    frames = jnp.clip(painting.frames + _draw_noise(kitchen, seed, indices, times), 0, 1)
    flow, hand = painting.flow, jax.vmap(hand_positions)(scenes, times)
    hw = kitchen.sizes.frame_hw
    if hw != FRAME_HW:
        scale = np.array(hw, np.float32) / np.array(FRAME_HW, np.float32)
        frames, flow = (
            jax.image.resize(planes, (*planes.shape[:3], *hw), method, antialias=True)
            for planes, method in ((frames, "lanczos5"), (flow, "linear"))
        )
        frames = jnp.clip(frames, 0, 1)
        flow, hand = flow * scale[:, None, None], (hand + 0.5) * scale - 0.5
    frames, flow = (jnp.moveaxis(planes, 2, -1) for planes in (frames, flow))
    return Clips(frames, flow, hand, scenes.label)


def _draw_noise(
    kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"], times: Int[Array, "b t"]
) -> Float[Array, "b t 3 h w"]:
    """Noise for each frame: a piece, anywhere, of one larger picture, which is faster than drawing it anew."""
    h, w = FRAME_HW
    picture_key, place_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), SPLITS.index(kitchen.split)))
    picture = NOISE * jax.random.normal(picture_key, (3, 2 * h, 2 * w))

    def cut(index: Int[Array, ""], time: Int[Array, ""]) -> Float[Array, "3 h w"]:
        key = jax.random.fold_in(jax.random.fold_in(place_key, index), time)
        y, x = jax.random.randint(key, (2,), 0, np.array([h, w]) + 1)
        return jax.lax.dynamic_slice(picture, (0, y, x), (3, h, w))

    return jax.vmap(jax.vmap(cut, (None, 0)))(indices, times)


@partial(jax.jit, static_argnums=0)
def draw_scenes(kitchen: KitchenMini, seed: int | Int[Array, ""], indices: Int[Array, " b"]) -> Scene:
    """Draws what the clips with the given indices show; see `render_clips`."""
    key = jax.random.key(seed)
    return jax.vmap(lambda index: _draw(kitchen, key, index))(indices)


def _draw(kitchen: KitchenMini, key: PRNGKeyArray, index: Int[Array, ""]) -> Scene:
    subject_key, order_key, clip_key = jax.random.split(key, 3)
    order_key, clip_key = (
        jax.random.fold_in(key, SPLITS.index(kitchen.split)) for key in (order_key, clip_key)
    )
    block = len(CLASS_NAMES) * len(kitchen.subjects)
    epoch, place = jnp.divmod(index, block)
    order = jnp.argsort(jax.random.uniform(jax.random.fold_in(order_key, epoch), (block,)))
    which, label = jnp.divmod(order[place].astype(jnp.int32), len(CLASS_NAMES))
    subject = jnp.asarray(np.array(kitchen.subjects, np.int32))[which]
    return draw_scene(jax.random.fold_in(subject_key, subject), jax.random.fold_in(clip_key, index), label)
