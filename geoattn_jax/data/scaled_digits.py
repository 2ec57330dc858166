"""Scaled MNIST, on which the paper's CNNs are pretrained: single digits, stretched and shifted.

Shan & Atanasov 2017, section "Training details".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.digits import DigitPool
from geoattn_jax.ops.sample import bilinear_sample

ZOOM_RANGE = (1.0, 2.5)  # larger = smaller digit
MAX_SHIFT = 0.2  # of the frame


class ScaledDigits(NamedTuple):
    """Rendered digits: `frames` in [0, 1] and which digit each shows, `labels`."""

    frames: Float[Array, "b h w 1"]
    labels: Int[Array, " b"]


@partial(jax.jit, static_argnames=("batch_size", "frame_size"))
def training_batch(
    pool: DigitPool,
    seed: int | Int[Array, ""],
    step: int | Int[Array, ""],
    *,
    batch_size: int,
    frame_size: int = 64,
) -> ScaledDigits:
    """The batch of a training step: digits drawn with replacement, each stretched and shifted anew.

    A digit image fills the frame and is then divided by a zoom from U[1, 2.5], drawn separately for x and
    y, and shifted along each axis by up to a fifth of the frame.

    Args:
      pool: the training digits, in any size; `frame_size * 28 // 64` is MNIST's own for the paper's frames.
      seed: of the whole stream.
      step: which batch.
      batch_size: number of frames.
      frame_size: height and width, pixels.
    """
    choice_key, motion_key = jax.random.split(jax.random.key(seed))
    places = step * batch_size + jnp.arange(batch_size)
    choice = jax.vmap(lambda place: _choose(choice_key, place, len(pool.labels)))(places)
    return _render(pool.images[choice], pool.labels[choice], motion_key, places, frame_size)


@partial(jax.jit, static_argnames="frame_size")
def test_batch(
    pool: DigitPool, seed: int | Int[Array, ""], indices: Int[Array, " b"], *, frame_size: int = 64
) -> ScaledDigits:
    """The given frames of the fixed test set, whose every frame shows one test digit.

    Args:
      pool: the test digits; see `training_batch`.
      seed: of the whole test set.
      indices: which frames, 0 to `len(pool.labels) - 1`.
      frame_size: height and width, pixels.
    """
    return _render(pool.images[indices], pool.labels[indices], jax.random.key(seed), indices, frame_size)


def _choose(key: PRNGKeyArray, place: Int[Array, ""], count: int) -> Int[Array, ""]:
    return jax.random.randint(jax.random.fold_in(key, place), (), 0, count)


def _render(
    images: Float[Array, "b size size"],
    labels: Int[Array, " b"],
    key: PRNGKeyArray,
    places: Int[Array, " b"],
    frame_size: int,
) -> ScaledDigits:
    centre, zoom = jax.vmap(lambda place: _draw_stretch(jax.random.fold_in(key, place), frame_size))(places)
    size = images.shape[-1]
    pixels = jnp.arange(frame_size, dtype=jnp.float32)
    source = (pixels - centre[..., None]) * zoom[..., None] * (size / frame_size) + (size - 1) / 2
    b, f = len(images), frame_size
    y, x = source[:, 0, :, None], source[:, 1, None, :]
    coords = jnp.stack([jnp.broadcast_to(y, (b, f, f)), jnp.broadcast_to(x, (b, f, f))], axis=-1)
    return ScaledDigits(bilinear_sample(images[..., None], coords), labels)


def _draw_stretch(key: PRNGKeyArray, frame_size: int) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """The digit's centre in pixels and its zoom, both (y, x)."""
    shift_key, zoom_key = jax.random.split(key)
    shift = jax.random.uniform(shift_key, (2,), minval=-MAX_SHIFT, maxval=MAX_SHIFT)
    zoom = jax.random.uniform(zoom_key, (2,), minval=ZOOM_RANGE[0], maxval=ZOOM_RANGE[1])
    return (frame_size - 1) / 2 + shift * frame_size, zoom
