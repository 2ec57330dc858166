"""Scaled MNIST, on which the paper's CNNs are pretrained: single digits, stretched and shifted.

Shan & Atanasov 2017, section "Training details".
"""

from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.data.digits import DigitPool, check_pool
from geoattn_jax.ops.checks import check_choice
from geoattn_jax.ops.sample import bilinear_sample

ShiftIn = Literal["target", "source"]

SHIFTS_IN: tuple[ShiftIn, ...] = get_args(ShiftIn)
ZOOM_RANGE = (1.0, 2.5)  # larger = smaller digit
MAX_SHIFT = 0.2  # of the frame


class ScaledDigits(NamedTuple):
    """Rendered digits: `frames` in [0, 1] and which digit each shows, `labels`."""

    frames: Float[Array, "b h w 1"]
    labels: Int[Array, " b"]


@partial(jax.jit, static_argnames=("frame_size", "shift_in"))
def render_scaled_digits(
    pool: DigitPool,
    seed: int | Int[Array, ""],
    indices: Int[Array, " b"],
    *,
    frame_size: int = 64,
    shift_in: ShiftIn = "target",
) -> ScaledDigits:
    """The frames with the given indices; each depends on `seed` and its own index alone.

    A digit image, drawn from the pool, is enlarged to the frame, then divided by a zoom from U[1, 2.5],
    separate for x and y, and shifted along each axis by up to a fifth of the frame. A training step's batch
    is `step * batch_size + jnp.arange(batch_size)`; a fixed test set is a range of indices with the test
    digits.

    Args:
      pool: digits, from `digit_pool` with the same `frame_size`.
      seed: of the whole stream.
      indices: which frames.
      frame_size: height and width, pixels.
      shift_in: whose pixels the shift is drawn in: "target", the frame's, or "source", those of the enlarged
        digit before the zoom. Then a digit moves by the shift over the zoom: smaller ones stay nearer to the
        middle, as in the authors' program (Keras' `ImageDataGenerator`).

    Raises: ValueError if the pool's digits have the size for other frames, or shift_in is unknown.
    """
    check_pool("render_scaled_digits", pool, frame_size)
    check_choice("render_scaled_digits", "shift_in", shift_in, SHIFTS_IN)
    key = jax.random.key(seed)
    choice, shift, zoom = jax.vmap(lambda index: _draw(jax.random.fold_in(key, index), len(pool.labels)))(
        indices
    )
    images, (b, f) = pool.images[choice], (len(indices), frame_size)
    size = images.shape[-1]
    from_middle = jnp.arange(f, dtype=jnp.float32) - (f - 1) / 2
    moved, zoom = f * shift[..., None], zoom[..., None]
    enlarged = (from_middle - moved) * zoom if shift_in == "target" else from_middle * zoom - moved
    source = enlarged * (size / f) + (size - 1) / 2
    y, x = source[:, 0, :, None], source[:, 1, None, :]
    coords = jnp.stack([jnp.broadcast_to(y, (b, f, f)), jnp.broadcast_to(x, (b, f, f))], axis=-1)
    return ScaledDigits(bilinear_sample(images[..., None], coords), pool.labels[choice])


def _draw(key: PRNGKeyArray, count: int) -> tuple[Int[Array, ""], Float[Array, "2"], Float[Array, "2"]]:
    """Which image, its shift as a part of the frame, and its zoom, both (y, x)."""
    choice_key, shift_key, zoom_key = jax.random.split(key, 3)
    choice = jax.random.randint(choice_key, (), 0, count)
    shift = jax.random.uniform(shift_key, (2,), minval=-MAX_SHIFT, maxval=MAX_SHIFT)
    zoom = jax.random.uniform(zoom_key, (2,), minval=ZOOM_RANGE[0], maxval=ZOOM_RANGE[1])
    return choice, shift, zoom
