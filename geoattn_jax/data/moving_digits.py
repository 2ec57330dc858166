"""Moving digits: videos of two handwritten digits that move, bounce, turn, grow and bend.

Shan & Atanasov 2017, section "Dataset creation". A video is a pure function of (seed, index), so a data set
is a range of indices, and training can go on drawing new ones in any order:

    video = MovingDigits(condition="rotation_scaling", protocol="new_digits", split="train")
    digits = load_digits("mnist", video.digits_split, data_dir)
    pool = digit_pool(digits, frame_size=video.frame_size)
    frames, labels = render_videos(video, pool, seed, step * batch_size + jnp.arange(batch_size))
"""

import dataclasses
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.digits import REFERENCE_FRAME, SPLITS, DigitPool, Split, check_pool, digit_size
from geoattn_jax.data.elastic import elastic_field
from geoattn_jax.ops.checks import check_choice
from geoattn_jax.ops.sample import bilinear_sample

Condition = Literal["normal", "rotation", "scaling", "rotation_scaling", "elastic"]
Protocol = Literal["same_frames", "interleaved", "new_motion", "new_digits"]

CONDITIONS: tuple[Condition, ...] = get_args(Condition)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
# Of the protocols, those whose splits show one trajectory of each video; their training frames are the same.
ONE_TRAJECTORY = ("same_frames", "interleaved")
# Of the conditions, those in which digits turn, and those in which they grow.
TURNING = ("rotation", "rotation_scaling", "elastic")
GROWING = ("scaling", "rotation_scaling", "elastic")

# Lengths are those on a frame of 64 pixels and grow with the frame.
SPEED = 3.6  # pixels per frame
MAX_ANGLE = np.pi / 4
SCALE_RANGE = (0.6, 1.4)
ELASTIC_SMOOTHING = 4.0  # pixels
ELASTIC_DISPLACEMENT = 1.38  # pixels


@dataclasses.dataclass(frozen=True)
class MovingDigits:
    """Which videos: everything but the digit images, the seed and the index.

    A digit's angle and scale, and the elastic field of the frame, are drawn anew for each *setting* and
    constant within it; position and direction run on. "elastic" bends frames of "rotation_scaling".

    Protocols:
      same_frames: the classes are the 100 ordered pairs of digits ("03" is a 0 and a 3), each with its own
        two digit images. Train and test are the same videos, the even frames of their trajectories. So it is
        in the authors' released program.
      interleaved: train is that of same_frames, test the odd frames of the same trajectories: the stricter
        reading of the paper.
      new_motion: the same classes and digit images, but train and test have different trajectories and
        settings.
      new_digits: the classes are the 55 unordered pairs. Every video draws digit images of its own, and
        the test split draws them from other images than the train split (see `digits_split`).

    Attributes:
      condition: what happens to the digits besides moving.
      protocol: what test videos have in common with training videos.
      split: "train" or "test".
      frame_size: height and width, pixels. Digits, speed and elastic fields scale along.
      settings: number of settings in a video.
      frames_per_setting: number of frames shown of each setting.
      stride: frames of the trajectory from one shown to the next. `frames_per_setting=1, stride=5` is a clip
        with one frame of each setting of the usual video; `settings=1, frames_per_setting=1` are independent
        frames.
    """

    condition: Condition
    protocol: Protocol
    split: Split
    frame_size: int = REFERENCE_FRAME
    settings: int = 10
    frames_per_setting: int = 5
    stride: int = 1

    def __post_init__(self) -> None:
        check_choice("MovingDigits", "condition", self.condition, CONDITIONS)
        check_choice("MovingDigits", "protocol", self.protocol, PROTOCOLS)
        check_choice("MovingDigits", "split", self.split, SPLITS)
        for name, minimum in (("frame_size", 8), ("settings", 1), ("frames_per_setting", 1), ("stride", 1)):
            if getattr(self, name) < minimum:
                raise ValueError(
                    f"MovingDigits: {name} must be at least {minimum}, got {getattr(self, name)}"
                )

    @property
    def pixels_per_reference(self) -> float:
        """Length, in pixels, of what is one pixel on a frame of 64."""
        return self.frame_size / REFERENCE_FRAME

    @property
    def num_frames(self) -> int:
        return self.settings * self.frames_per_setting

    @property
    def digits_split(self) -> Split:
        """The split of `load_digits` that the digit images must come from."""
        return self.split if self.protocol == "new_digits" else "train"

    @property
    def classes(self) -> Int[np.ndarray, "classes 2"]:
        """The two digits of each class."""
        pairs = np.triu_indices(10) if self.protocol == "new_digits" else np.divmod(np.arange(100), 10)
        return np.stack(pairs, axis=-1).astype(np.int32)

    @property
    def class_names(self) -> list[str]:
        return [f"{first}{second}" for first, second in self.classes]


class Scene(NamedTuple):
    """What videos show, before it is rendered.

    The axes are videos b, the two digits d, settings s, frames of a setting f.

    Attributes:
      labels: the class.
      digits: the digit images.
      centre: where the digits' centres are, pixels (y, x).
      angle: radians, counter-clockwise.
      scale: 1 is the size of the digit image.
      field: elastic displacement of the frame, pixels (dy, dx); None without elastic deformation.
    """

    labels: Int[Array, " b"]
    digits: Float[Array, "b d size size"]
    centre: Float[Array, "b d s f 2"]
    angle: Float[Array, "b d s"]
    scale: Float[Array, "b d s"]
    field: Float[Array, "b s h w 2"] | None


class Videos(NamedTuple):
    """Rendered videos: `frames` in [0, 1] and the class of each, `labels`."""

    frames: Float[Array, "b t h w 1"]
    labels: Int[Array, " b"]


@partial(jax.jit, static_argnums=0)
def render_videos(
    video: MovingDigits, pool: DigitPool, seed: int | Int[Array, ""], indices: Int[Array, " b"]
) -> Videos:
    """The videos with the given indices; each depends on `seed` and its own index alone.

    Any `len(video.classes)` consecutive indices that begin at a multiple of that number hold every class
    once, in random order: these are the paper's splits, one video for each class.

    Args:
      video: which videos.
      pool: digits of the split `video.digits_split`, from `digit_pool` with the same `frame_size`.
      seed: of the whole data set, both splits.
      indices: which videos.

    Raises: ValueError if the pool's digits have the size for other frames.
    """
    scene = draw_scenes(video, pool, seed, indices)
    return Videos(render(scene, video.frame_size), scene.labels)


@partial(jax.jit, static_argnums=0)
def draw_scenes(
    video: MovingDigits, pool: DigitPool, seed: int | Int[Array, ""], indices: Int[Array, " b"]
) -> Scene:
    """Draws what the videos with the given indices show; see `render_videos`."""
    check_pool("draw_scenes", pool, video.frame_size)
    key = jax.random.key(seed)
    return jax.vmap(lambda index: _draw_scene(video, pool, key, index))(indices)


@partial(jax.jit, static_argnums=1)
def render(scene: Scene, frame_size: int) -> Float[Array, "b t h w 1"]:
    """Renders scenes with `bilinear_sample`; where digits overlap, the brighter one shows."""
    pixels = jnp.arange(frame_size, dtype=jnp.float32)
    y, x = pixels[:, None], pixels
    if scene.field is not None:
        y, x = (axis + scene.field[:, :, None, ..., component] for component, axis in enumerate((y, x)))
    b, _, s, f, _ = scene.centre.shape

    def paint(frames, digit):
        image, centre, angle, scale = digit
        down, right = y - centre[..., 0, None, None], x - centre[..., 1, None, None]
        angle, scale = angle[..., None, None, None], scale[..., None, None, None]
        cos, sin, middle = jnp.cos(angle) / scale, jnp.sin(angle) / scale, (image.shape[-1] - 1) / 2
        source = sin * right + cos * down + middle, cos * right - sin * down + middle
        # Stacked last, so that XLA can hand them to the sampler without writing them to memory.
        coords = jnp.stack([axis.reshape(b, -1) for axis in source], axis=-1)
        samples = bilinear_sample(image[..., None], coords)
        return jnp.maximum(frames, samples.reshape(frames.shape)), None

    # A loop over the digits, because XLA would otherwise fuse all that leads to a pixel into one program on
    # CPU, down to the choice of the digit image, and do all of it four times for each pixel.
    digits = jax.tree.map(
        lambda value: jnp.moveaxis(value, 1, 0), (scene.digits, scene.centre, scene.angle, scene.scale)
    )
    return jax.lax.scan(paint, jnp.zeros((b, s * f, frame_size, frame_size, 1)), digits)[0]


# Random numbers are drawn in a row and then given their axes: with several small axes XLA takes many times as
# long to compile them on CPU.


def _draw_scene(video: MovingDigits, pool: DigitPool, key: PRNGKeyArray, index: Int[Array, ""]) -> Scene:
    order_key, class_key, motion_key = jax.random.split(key, 3)
    num_classes = len(video.classes)
    epoch, place = jnp.divmod(index, num_classes)
    order = jnp.argsort(jax.random.uniform(jax.random.fold_in(order_key, epoch), (num_classes,)))
    label = order[place]

    if video.protocol not in ONE_TRAJECTORY:
        motion_key = jax.random.fold_in(motion_key, SPLITS.index(video.split))
    digits_key, path_key, setting_key, field_key = jax.random.split(jax.random.fold_in(motion_key, index), 4)
    if video.protocol != "new_digits":
        digits_key = jax.random.fold_in(class_key, label)
    angle, scale = _draw_settings(video, setting_key)
    return Scene(
        labels=label,
        digits=_draw_digits(pool, digits_key, jnp.asarray(video.classes)[label]),
        centre=_draw_path(video, path_key),
        angle=angle,
        scale=scale,
        field=_draw_fields(video, field_key) if video.condition == "elastic" else None,
    )


def _draw_digits(pool: DigitPool, key: PRNGKeyArray, labels: Int[Array, "2"]) -> Float[Array, "2 size size"]:
    place = jnp.floor(jax.random.uniform(key, (2,)) * pool.count[labels].astype(jnp.float32))
    return pool.images[pool.first[labels] + place.astype(jnp.int32)]


def _draw_path(video: MovingDigits, key: PRNGKeyArray) -> Float[Array, "2 s f 2"]:
    """Straight lines at constant speed that bounce where a digit of scale 1 touches the frame's edge."""
    size = digit_size(video.frame_size)
    room = video.frame_size - size
    start_y, start_x, turn = jax.random.uniform(key, (6,)).reshape(3, 2)
    start = 2 * room * jnp.stack([start_y, start_x], axis=-1)
    direction = 2 * np.pi * jnp.stack([turn, turn - 0.25], axis=-1)
    velocity = SPEED * video.pixels_per_reference * jnp.cos(direction)
    unfolded = start[:, None] + velocity[:, None] * _times(video)[:, None]
    top_left = room - jnp.abs(room - unfolded % (2 * room))
    return (top_left + (size - 1) / 2).reshape(2, video.settings, video.frames_per_setting, 2)


def _times(video: MovingDigits) -> Float[np.ndarray, " t"]:
    """The frames of the trajectory that are shown."""
    shown = np.arange(video.num_frames, dtype=np.float32) * video.stride
    if video.protocol not in ONE_TRAJECTORY:
        return shown
    odd = video.protocol == "interleaved" and video.split == "test"
    return 2 * shown + odd


def _draw_settings(video: MovingDigits, key: PRNGKeyArray) -> tuple[Float[Array, "2 s"], Float[Array, "2 s"]]:
    """Angles and scales of the two digits."""
    turn, growth = jax.random.uniform(key, (4 * video.settings,)).reshape(2, 2, video.settings)
    angle, scale = jnp.zeros_like(turn), jnp.ones_like(growth)
    if video.condition in TURNING:
        angle = MAX_ANGLE * (2 * turn - 1)
    if video.condition in GROWING:
        smallest, largest = SCALE_RANGE
        scale = smallest + (largest - smallest) * growth
    return angle, scale


def _draw_fields(video: MovingDigits, key: PRNGKeyArray) -> Float[Array, "s h w 2"]:
    draw = partial(
        elastic_field,
        hw=(video.frame_size, video.frame_size),
        smoothing=ELASTIC_SMOOTHING * video.pixels_per_reference,
        displacement=ELASTIC_DISPLACEMENT * video.pixels_per_reference,
    )
    return jax.vmap(draw)(jax.random.split(key, video.settings))
