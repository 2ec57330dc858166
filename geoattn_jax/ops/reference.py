"""The obvious implementations, to be read: what the fast ones in this package compute.

They build every intermediate array and leave differentiation to JAX. Use them to understand the fast ones,
and to check them. Unlike the fast ones, they let a NaN position spoil the gradient of the whole image.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.conv_layout import ConvLayout, Padding, resolve_layout
from geoattn_jax.ops.interpolation import Method
from geoattn_jax.ops.padding import PaddingMode, ReflectAt
from geoattn_jax.ops.sizes import Size


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """What `geoattn_jax.bilinear_sample` computes: Jaderberg et al. 2015, Eq. 5, one corner at a time."""
    return sample(image, coords, padding_mode=padding_mode)


def sample(
    image: Float[Array, "b *sizes c"],
    coords: Float[Array, "b *s d"],
    *,
    method: Method = "bilinear",
    padding_mode: PaddingMode = "zeros",
    reflect_at: ReflectAt = "edge",
) -> Float[Array, "b *s c"]:
    """What `geoattn_jax.sample` computes: Jaderberg et al. 2015, Eq. 3, one pixel of the kernel at a time."""
    one = partial(_sample, method=method, padding_mode=padding_mode, reflect_at=reflect_at)
    return jax.vmap(one)(image, coords)


def _sample(
    image: Float[Array, "*sizes c"],
    coords: Float[Array, "*s d"],
    *,
    method: Method,
    padding_mode: PaddingMode,
    reflect_at: ReflectAt,
) -> Float[Array, "*s c"]:
    last = jnp.stack([jnp.asarray(size - 1, coords.dtype) for size in image.shape[:-1]])

    def padded(positions: Float[Array, "*s d"]) -> Float[Array, "*s d"]:
        if padding_mode == "reflection":
            positions = _reflected(positions, last, reflect_at)
        # Beyond these bounds nothing changes any more; the select also stops the gradient there.
        lowest, highest = (-3 + 0 * last, last + 3) if padding_mode == "zeros" else (0 * last, last)
        return jnp.where(positions < lowest, lowest, jnp.where(positions >= highest, highest, positions))

    if method != "bicubic":
        coords = padded(coords)
    kernel = _KERNELS[method]
    first = jnp.round(coords) if method == "nearest" else jnp.floor(coords) - (len(kernel) // 2 - 1)
    fraction = coords - jnp.floor(coords)
    samples = jnp.zeros((*coords.shape[:-1], image.shape[-1]), image.dtype)
    for corner in itertools.product(range(len(kernel)), repeat=coords.shape[-1]):
        position = first + jnp.array(corner, coords.dtype)
        if method == "bicubic":
            position = padded(position)
        weights = [kernel[step](fraction[..., axis]) for axis, step in enumerate(corner)]
        inside = jnp.all((position >= 0) & (position <= last), axis=-1)
        place = jnp.unstack(jnp.clip(position, 0, last).astype(jnp.int32), axis=-1)
        # Not a weight of zero: zero times NaN is NaN.
        pixels = jnp.where(inside[..., None], image.at[*place].get(mode="promise_in_bounds"), 0)
        samples += reduce(jnp.multiply, weights).astype(image.dtype)[..., None] * pixels
    return jnp.where(jnp.isnan(coords).any(axis=-1, keepdims=True), jnp.nan, samples)


# Weights of the pixels in reach, from the first to the last, of the fraction of a position.
_KERNELS: dict[str, list[Callable]] = {
    "nearest": [jnp.ones_like],
    "bilinear": [lambda t: 1 - t, lambda t: t],
    "bicubic": [  # Keys 1981, Eq. 4, with a = -3/4
        lambda t: -0.75 * (t**3 - 2 * t**2 + t),
        lambda t: 1.25 * t**3 - 2.25 * t**2 + 1,
        lambda t: -1.25 * t**3 + 1.5 * t**2 + 0.75 * t,
        lambda t: 0.75 * (t**3 - t**2),
    ],
}


def _reflected(
    positions: Float[Array, "*s d"], last: Float[Array, " d"], reflect_at: ReflectAt
) -> Float[Array, "*s d"]:
    """Where they lie in mirrors that face each other, folded at one mirror and then at the other."""
    first, beyond = (-0.5, last + 0.5) if reflect_at == "edge" else (0, last)
    period = jnp.maximum(2 * (beyond - first), 1e-30)
    folded = (positions - first) % period
    return first + jnp.where(folded < beyond - first, folded, period - folded)


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
    options = (strides, padding, kernel_dilation, feature_group_count)
    layout = resolve_layout("deform_conv2d", image, offsets, kernel, bias, mask, *options)
    return _convolve(image, offsets, kernel, bias, mask, layout)


def deform_conv3d(
    volume: Float[Array, "b d h w cin"],
    offsets: Float[Array, "b do ho wo g taps 3"],
    kernel: Float[Array, "kd kh kw cin_per_group cout"],
    bias: Float[Array, " cout"] | None = None,
    *,
    mask: Float[Array, "b do ho wo g taps"] | None = None,
    strides: tuple[int, int, int] = (1, 1, 1),
    padding: Padding = "SAME",
    kernel_dilation: tuple[int, int, int] = (1, 1, 1),
    feature_group_count: int = 1,
) -> Float[Array, "b do ho wo cout"]:
    """What `geoattn_jax.deform_conv3d` computes: as `deform_conv2d`, in volumes."""
    options = (strides, padding, kernel_dilation, feature_group_count)
    layout = resolve_layout("deform_conv3d", volume, offsets, kernel, bias, mask, *options)
    return _convolve(volume, offsets, kernel, bias, mask, layout)


def _convolve(
    image: Float[Array, "b *sizes cin"],
    offsets: Float[Array, "b *outputs g taps d"],
    kernel: Float[Array, "*ks cin_per_group cout"],
    bias: Float[Array, " cout"] | None,
    mask: Float[Array, "b *outputs g taps"] | None,
    layout: ConvLayout,
) -> Float[Array, "b *outputs cout"]:
    b, n, (g, taps, d) = image.shape[0], layout.num_outputs, offsets.shape[-3:]
    offsets = offsets.reshape(b, n, g, taps, d)
    samples_of_groups = []
    for group, channels in enumerate(jnp.split(image, g, axis=-1)):
        positions = layout.positions(jnp.swapaxes(offsets[:, :, group], 1, 2))
        samples = jnp.swapaxes(sample(channels, positions), 1, 2)
        if mask is not None:
            samples *= mask.reshape(b, n, g, taps, 1)[:, :, group].astype(samples.dtype)
        samples_of_groups.append(samples)
    columns = jnp.concatenate(samples_of_groups, axis=-1)
    cin_per_group, cout = kernel.shape[-2:]
    f = layout.feature_groups
    output = jnp.einsum(
        "bntfi,tifo->bnfo",
        columns.reshape(b, n, taps, f, cin_per_group),
        kernel.reshape(taps, cin_per_group, f, cout // f),
    ).reshape(b, *layout.output_sizes, cout)
    return output if bias is None else output + bias


def deform_attention(
    values: Float[Array, "b pixels heads c"],
    locations: Float[Array, "b queries heads levels points 2"],
    weights: Float[Array, "b queries heads levels points"],
    *,
    level_shapes: Sequence[tuple[Size, Size]],
) -> Float[Array, "b queries heads_c"]:
    """What `geoattn_jax.deform_attention` computes: the samples of all queries, one level at a time."""
    b, _, heads, c = values.shape
    ends = [
        sum(height * width for height, width in level_shapes[: level + 1])
        for level in range(len(level_shapes))
    ]
    output = jnp.zeros((), values.dtype)
    for level, ((height, width), end) in enumerate(zip(level_shapes, ends, strict=True)):
        images = values[:, end - height * width : end].reshape(b, height, width, heads, c)
        size = jnp.stack([jnp.asarray(side, locations.dtype) for side in (height, width)])
        of_heads = jax.vmap(sample, in_axes=(3, 2), out_axes=2)
        samples = of_heads(images, locations[:, :, :, level] * size - 0.5)
        output += jnp.einsum("bnhpc,bnhp->bnhc", samples, weights[:, :, :, level].astype(values.dtype))
    return output.reshape(b, -1, heads * c)
