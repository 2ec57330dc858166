"""Images read at real-valued positions, all channels at the same ones or each at its own."""

import math
from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.cells import sample
from geoattn_jax.ops.checks import check_array, check_choice, check_shape
from geoattn_jax.ops.forward_mode import reverse_mode_only
from geoattn_jax.ops.padding import PaddingMode
from geoattn_jax.ops.placement import divided_alike, reshape
from geoattn_jax.ops.precision import wide_dtype, widen
from geoattn_jax.ops.sizes import Size


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """Reads `image` at real-valued positions (Jaderberg et al. 2015, Eq. 5).

    Differentiable in both arguments, in reverse mode to any order; forward mode is left to
    `geoattn_jax.ops.reference.bilinear_sample`.

    Convention: coords are (y, x) in pixels, pixel centres at integers, y down. At an integer coordinate the
    derivative is the right-hand one. A NaN coordinate reads NaN and passes no gradient.

    Args:
      image: pixels, any float dtype; the arithmetic is done in float32 or wider.
      coords: where to read, pixels; positions may lie outside the image. Keep them in float32 or wider
        beside a bfloat16 image: in bfloat16 a position beyond pixel 128 has no fraction left.
      padding_mode: what lies outside, "zeros" or "border" (the nearest edge pixel).

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or padding_mode is unknown; TypeError under
      forward-mode differentiation.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import bilinear_sample
      >>> image = jnp.arange(6.0).reshape(1, 2, 3, 1)  # [[0, 1, 2], [3, 4, 5]]
      >>> coords = jnp.array([[[1.0, 1.5], [0.5, 0.0], [0.0, 9.0]]])
      >>> bilinear_sample(image, coords)[0, :, 0].tolist()
      [4.5, 1.5, 0.0]
    """
    image, coords = jnp.asarray(image), jnp.asarray(coords)
    check_image("bilinear_sample", image)
    own = "give every image of the batch its own coordinates, with (y, x) on the last axis"
    check_array("bilinear_sample", "coords", coords, "b *s 2", own)
    check_shape(
        "bilinear_sample", "coords", coords, (image.shape[0], *coords.shape[1:-1], 2),
        because=f"(y and x of each sample in each image of shape {image.shape})",
        remedy=own,
    )  # fmt: skip
    check_choice("bilinear_sample", "padding_mode", padding_mode, get_args(PaddingMode))
    image, coords = reverse_mode_only("bilinear_sample", (image, coords))
    positions = reshape(coords, (coords.shape[0], math.prod(coords.shape[1:-1]), 2))
    samples = sample(image, positions, padding_mode)
    return reshape(samples, (*coords.shape[:-1], image.shape[-1]))


def offset_resample(
    image: Float[Array, "b h w c"], offsets: Float[Array, "b h w c 2"]
) -> Float[Array, "b h w c"]:
    """Moves every value of every channel by its own offset: out[p, c] = image[p + offsets[p, c], c].

    The "offset2D" layer of the program that Shan & Atanasov 2017 released: unlike Eq. 1b, which moves the
    taps of a kernel, each channel is resampled by an offset field of its own. Outside the image it reads the
    nearest edge pixel. Differentiable as `bilinear_sample` is.

    Convention: offsets are (dy, dx) in pixels, y down; everything else as in `bilinear_sample`.

    Args:
      image: feature maps, any float dtype.
      offsets: for each pixel and channel the way to where it is read, pixels.

    Returns: the resampled feature maps, in image's dtype.
    Raises: ValueError if ranks, dtypes or shapes disagree; TypeError under forward-mode differentiation.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import offset_resample
      >>> image = jnp.arange(6.0).reshape(1, 1, 3, 2)  # a row of three pixels, two channels
      >>> offsets = jnp.zeros((1, 1, 3, 2, 2)).at[..., 1, 1].set(0.5)  # the second half a pixel to the right
      >>> offset_resample(image, offsets)[0, 0].T.tolist()
      [[0.0, 2.0, 4.0], [2.0, 4.0, 5.0]]
    """
    image, offsets = jnp.asarray(image), jnp.asarray(offsets)
    check_image("offset_resample", image)
    pairs = "reshape the offset branch's 2C channels to (C, 2)"
    check_array("offset_resample", "offsets", offsets, "b h w c 2", pairs)
    check_shape(
        "offset_resample", "offsets", offsets, (*image.shape, 2),
        because=f"(a (dy, dx) for each value of an image of shape {image.shape})",
        remedy=pairs,
    )  # fmt: skip
    image, offsets = divided_alike(reverse_mode_only("offset_resample", (image, offsets)))
    b, h, w, c = image.shape
    # Each channel becomes an image of its own.
    channels = reshape(jnp.moveaxis(image, -1, 1), (b * c, h, w, 1))
    positions = jnp.moveaxis(pixel_positions(h, w, wide_dtype(offsets))[:, :, None] + widen(offsets), 3, 1)
    samples = sample(channels, reshape(positions, (b * c, h * w, 2)), "border")
    return jnp.moveaxis(reshape(samples, (b, c, h, w)), 1, -1)


def pixel_positions(height: Size, width: Size, dtype: jnp.dtype) -> Float[Array, "height width 2"]:
    """The (y, x) of every pixel."""
    axes = (jnp.arange(size, dtype=dtype) for size in (height, width))
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def check_image(function: str, image: jax.Array) -> None:
    """Checks that `image` is a batch of floating-point images that have pixels.

    Raises: ValueError naming what came and what was expected.
    """
    missing = "give a single image a batch axis by image[None], a grey one a channel axis by image[..., None]"
    check_array(function, "image", image, "b h w c", missing)
    if 0 in image.shape[1:3]:
        raise ValueError(f"{function}: image must have at least one pixel, got shape {image.shape}")
