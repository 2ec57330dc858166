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

from geoattn_jax.ops.conv_layout import Padding, resolve_layout
from geoattn_jax.ops.padding import PaddingMode


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """What `geoattn_jax.bilinear_sample` computes: Jaderberg et al. 2015, Eq. 5, one corner at a time."""
    return jax.vmap(partial(_sample, padding_mode=padding_mode))(image, coords)


def _sample(
    image: Float[Array, "h w c"], coords: Float[Array, "*s 2"], *, padding_mode: PaddingMode
) -> Float[Array, "*s c"]:
    last = jnp.stack([jnp.asarray(size - 1, coords.dtype) for size in image.shape[:2]])
    # Beyond these bounds nothing changes any more; the select also stops the gradient there.
    lowest, highest = (0 * last, last) if padding_mode == "border" else (-2 + 0 * last, last + 2)
    coords = jnp.where(coords < lowest, lowest, jnp.where(coords >= highest, highest, coords))
    top_left = jnp.floor(coords)
    fraction = coords - top_left
    samples = jnp.zeros((*coords.shape[:-1], image.shape[-1]), image.dtype)
    for corner in itertools.product((0, 1), repeat=2):
        position = top_left + jnp.array(corner, coords.dtype)
        weight_y, weight_x = jnp.unstack(jnp.where(jnp.array(corner) == 1, fraction, 1 - fraction), axis=-1)
        inside = jnp.all((position >= 0) & (position <= last), axis=-1)
        y, x = jnp.unstack(jnp.clip(position, 0, last).astype(jnp.int32), axis=-1)
        # Not a weight of zero: zero times NaN is NaN.
        pixels = jnp.where(inside[..., None], image.at[y, x].get(mode="promise_in_bounds"), 0)
        samples += (weight_y * weight_x).astype(image.dtype)[..., None] * pixels
    return samples


def offset_resample(
    image: Float[Array, "b h w c"], offsets: Float[Array, "b h w c 2"]
) -> Float[Array, "b h w c"]:
    """What `geoattn_jax.offset_resample` computes: every channel is an image that is sampled on its own."""
    pixels = jnp.stack(jnp.meshgrid(*map(jnp.arange, image.shape[1:3]), indexing="ij"), axis=-1)

    def one_channel(channel: Float[Array, "b h w"], offset: Float[Array, "b h w 2"]) -> Float[Array, "b h w"]:
        coords = pixels.astype(offset.dtype) + offset
        return bilinear_sample(channel[..., None], coords, padding_mode="border")[..., 0]

    return jax.vmap(one_channel, in_axes=(3, 3), out_axes=3)(image, offsets)


def deform_conv2d(
    image: Float[Array, "b h w cin"],
    offsets: Float[Array, "b ho wo g taps 2"],
    kernel: Float[Array, "kh kw cin_per_group cout"],
    bias: Float[Array, " cout"] | None = None,
    *,
    mask: Float[Array, "b ho wo g taps"] | None = None,
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "SAME",
    kernel_dilation: tuple[int, int] = (1, 1),
    feature_group_count: int = 1,
) -> Float[Array, "b ho wo cout"]:
    """What `geoattn_jax.deform_conv2d` computes: all taps' samples side by side, then one product."""
    layout = resolve_layout(
        image, offsets, kernel, bias, mask, strides, padding, kernel_dilation, feature_group_count
    )
    b, ho, wo, g, taps, _ = offsets.shape
    samples_of_groups = []
    for group, channels in enumerate(jnp.split(image, g, axis=-1)):
        group_offsets = offsets[:, :, :, group].reshape(b, ho * wo, taps, 2)
        positions = layout.positions(jnp.swapaxes(group_offsets, 1, 2))
        samples = jnp.swapaxes(bilinear_sample(channels, positions), 1, 2)
        if mask is not None:
            samples *= mask[:, :, :, group].reshape(b, ho * wo, taps, 1).astype(samples.dtype)
        samples_of_groups.append(samples)
    columns = jnp.concatenate(samples_of_groups, axis=-1)
    cin_per_group, cout = kernel.shape[2:]
    output = jnp.einsum(
        "bntfi,tifo->bnfo",
        columns.reshape(b, ho * wo, taps, feature_group_count, cin_per_group),
        kernel.reshape(taps, cin_per_group, feature_group_count, cout // feature_group_count),
    ).reshape(b, ho, wo, cout)
    return output if bias is None else output + bias
