"""The products of a deformable convolution: of what its taps read and its kernel."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from geoattn_jax.ops.conv_layout import ConvLayout
from geoattn_jax.ops.placement import reshape, sharding_of_sum
from geoattn_jax.ops.platforms import Schedule
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.sizes import Size, may_exceed


def sums_batch_last(
    matrices: Float[Array, "taps f i o"], images: Float[Array, "bg *sizes c"], batch: Size, schedule: Schedule
) -> bool:
    """Whether the sum over the batch, in a kernel's gradient, is left to the end.

    At the end devices that divide the batch can take it once. A kernel larger than the images is summed at
    once, lest it take more memory than they.
    """
    wanted = schedule.sums_batch_last or jax.device_count() > 1
    return wanted and not may_exceed(batch * matrices.size, images.size)


def product(subscripts: str, a: jax.Array, b: jax.Array, summed_like: jax.Array | None = None) -> jax.Array:
    """A product for each feature group f, of one or more taps t, summed up in float32 or wider.

    It is placed as `summed_like`, an array of the same axes, if that is given.
    """
    first, second, result = subscripts.replace("->", ",").split(",")
    # With an axis of one XLA would transpose the operands in memory first.
    lone = [
        axis
        for axis in "ft"
        if all(
            array.shape[term.index(axis)] == 1 for term, array in ((first, a), (second, b)) if axis in term
        )
    ]
    operands = [
        jnp.squeeze(array, [term.index(axis) for axis in lone if axis in term])
        for term, array in ((first, a), (second, b))
    ]
    axes = [result.index(axis) for axis in lone if axis in result]
    squeezed = jnp.einsum(
        "".join(letter for letter in subscripts if letter not in lone),
        *operands,
        preferred_element_type=widen(a).dtype,
        out_sharding=None if summed_like is None else sharding_of_sum(b, jnp.squeeze(summed_like, axes)),
    )
    return jnp.expand_dims(squeezed, axes)


def drop_nan(
    cotangent: Float[Array, "b n f o"], offsets: Float[Array, "bg taps n d"], layout: ConvLayout
) -> Float[Array, "b n f o"]:
    """Zeros the cotangent of outputs that a NaN offset made NaN, lest it spoil all gradients."""
    f, g = layout.feature_groups, layout.offset_groups
    # Both kinds of groups divide the channels in order: feature group k overlaps offset groups first[k] to
    # last[k] - 1.
    first, last = np.arange(f) * g // f, -(-(np.arange(f) + 1) * g // f)
    nan = reshape(jnp.isnan(offsets).any(axis=(1, 3)), (cotangent.shape[0], g, offsets.shape[2]))
    spoiled = jnp.stack([nan[:, a:b].any(axis=1) for a, b in zip(first, last, strict=True)], axis=-1)
    return jnp.where(spoiled[..., None], 0, cotangent)
