"""The offset groups of deformable convolutions: beside the batch, or beside what belongs to them, and back.

To a sampler that reads all channels at the same positions a group is an image of its own: batch and groups
then share an axis, bg = b * g.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.placement import reshape


def split(array: Float[Array, "b *n g c"]) -> Float[Array, "bg *n c"]:
    """Moves the groups from beside their channels to beside the batch."""
    array = jnp.moveaxis(array, -2, 1)
    return reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))


def join(array: Float[Array, "bg *n c"], groups: int) -> Float[Array, "b *n g c"]:
    """The inverse of `split`."""
    bg, *others = array.shape
    return jnp.moveaxis(reshape(array, (bg // groups, groups, *others)), 1, -2)


def taps_first(array: Float[Array, "b n g taps k"]) -> Float[Array, "bg taps n k"]:
    """Moves the groups beside the batch and the taps before the pixels."""
    b, n, g, taps, k = array.shape
    return reshape(jnp.transpose(array, (0, 2, 3, 1, 4)), (b * g, taps, n, k))


def taps_last(array: Float[Array, "bg taps n k"], groups: int) -> Float[Array, "b n g taps k"]:
    """The inverse of `taps_first`."""
    bg, *others = array.shape
    return jnp.transpose(reshape(array, (bg // groups, groups, *others)), (0, 3, 1, 2, 4))
