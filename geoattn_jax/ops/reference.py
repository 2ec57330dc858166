"""The obvious implementations, to be read: what the fast ones in this package compute.

They build every intermediate array and leave differentiation to JAX. Use them to understand the fast ones,
to check them, and where forward-mode differentiation (`jax.jvp`, `jax.jacfwd`) is needed, which the fast
ones' own backward passes rule out. Unlike the fast ones, they let a NaN position spoil the gradient of the
whole image.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.sample import PaddingMode


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """What `geoattn_jax.bilinear_sample` computes: Jaderberg et al. 2015, Eq. 5, one corner at a time."""
    return jax.vmap(partial(_sample, padding_mode=padding_mode))(image, coords)


def _sample(
    image: Float[Array, "h w c"], coords: Float[Array, "*s 2"], *, padding_mode: PaddingMode
) -> Float[Array, "*s c"]:
    last = jnp.array(image.shape[:2], coords.dtype) - 1
    # Beyond these bounds nothing changes any more; the select also stops the gradient there.
    lowest, highest = (0 * last, last) if padding_mode == "border" else (-2 + 0 * last, last + 2)
    coords = jnp.where(coords < lowest, lowest, jnp.where(coords > highest, highest, coords))
    top_left = jnp.floor(coords)
    fraction = coords - top_left
    samples = jnp.zeros((*coords.shape[:-1], image.shape[-1]), image.dtype)
    for corner in itertools.product((0, 1), repeat=2):
        position = top_left + jnp.array(corner, coords.dtype)
        weight = jnp.prod(jnp.where(jnp.array(corner) == 1, fraction, 1 - fraction), axis=-1)
        inside = (padding_mode == "border") | jnp.all((position >= 0) & (position <= last), axis=-1)
        y, x = jnp.unstack(jnp.clip(position, 0, last).astype(jnp.int32), axis=-1)
        samples += jnp.where(inside, weight, 0 * weight).astype(image.dtype)[..., None] * image[y, x]
    return samples
