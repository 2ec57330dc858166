"""Images whose channels are read at positions of their own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax import native
from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.cells import gradients_of, samples_of
from geoattn_jax.ops.interpolation import Reading
from geoattn_jax.ops.native_fit import fits
from geoattn_jax.ops.placement import divided_alike, reshape, varying_alike
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype, widen
from geoattn_jax.ops.sizes import Size

_READING = Reading(padding_mode="border")


def resample(image: Float[Array, "b h w c"], offsets: Float[Array, "b h w c 2"]) -> Float[Array, "b h w c"]:
    """`offset_resample` of arguments that were checked."""
    return _resample(None, *varying_alike(divided_alike((image, offsets))))


def _forward(_, image, offsets):
    return by_platform(_resampled, image, offsets)


def _resampled(schedule: Schedule, image, offsets):
    if fits(schedule, image, offsets):
        (found,) = native.natively(
            _native_resampled,
            lambda image, offsets: (_resampled(schedule.without_native(), image, offsets),),
            (jax.typeof(image),),
            image,
            offsets,
        )
        return found
    channels, positions = _by_channel(image, offsets)
    found = samples_of(_READING, channels.shape[1:-1], schedule, channels, positions, None)
    return _channels_last(found, image.shape)


def _backward(_, arguments, cotangent):
    return by_platform(_gradients, *arguments, cotangent)


def _gradients(schedule: Schedule, image, offsets, cotangent):
    if fits(schedule, image, offsets):
        return native.natively(
            _native_gradients,
            lambda *arguments: _gradients(schedule.without_native(), *arguments),
            (jax.typeof(image), jax.typeof(offsets)),
            image,
            offsets,
            cotangent,
        )
    channels, positions = _by_channel(image, offsets)
    cotangents = _channels_first(cotangent)
    cotangents = reshape(cotangents, (cotangents.shape[0], positions.shape[1], 1))
    sizes = channels.shape[1:-1]
    to_channels, to_positions = gradients_of(_READING, sizes, schedule, channels, positions, None, cotangents)
    b, h, w, c = image.shape
    to_offsets = jnp.moveaxis(reshape(to_positions, (b, c, h, w, 2)), 1, 3)
    return _channels_last(to_channels, image.shape), to_offsets.astype(offsets.dtype)


_resample = with_backward_pass(_forward, _backward)


def _by_channel(image, offsets) -> tuple[Float[Array, "bc h w 1"], Float[Array, "bc hw 2"]]:
    """Each channel as an image of its own, and the positions at which it is read."""
    b, h, w, c = image.shape
    positions = pixel_positions(h, w, wide_dtype(offsets))[:, :, None] + widen(offsets)
    return _channels_first(image), reshape(jnp.moveaxis(positions, 3, 1), (b * c, h * w, 2))


def _channels_first(image: Float[Array, "b h w c"]) -> Float[Array, "bc h w 1"]:
    b, h, w, c = image.shape
    return reshape(jnp.moveaxis(image, -1, 1), (b * c, h, w, 1))


def _channels_last(channels: Float[Array, "bc *hw 1"], shape: tuple[Size, ...]) -> Float[Array, "b h w c"]:
    b, h, w, c = shape
    return jnp.moveaxis(reshape(channels, (b, c, h, w)), 1, -1)


def _native_resampled(image, offsets):
    found = native.read(image, _by_group(offsets), border=True, grid_width=image.shape[2])
    return (reshape(found, image.shape),)


def _native_gradients(image, offsets, cotangent):
    b, h, w, c = image.shape
    columns = reshape(cotangent, (b, h * w, 1, c))
    found = native.transpose(image, _by_group(offsets), None, columns, border=True, grid_width=w)
    return found.image, reshape(found.positions, offsets.shape)


def _by_group(offsets: Float[Array, "b h w c 2"]) -> Float[Array, "b hw c 1 2"]:
    """Every channel is a group, read by a single tap."""
    b, h, w, c, _ = offsets.shape
    return reshape(offsets, (b, h * w, c, 1, 2))


def pixel_positions(height: Size, width: Size, dtype: jnp.dtype) -> Float[Array, "height width 2"]:
    """The (y, x) of every pixel."""
    axes = (jnp.arange(size, dtype=dtype) for size in (height, width))
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
