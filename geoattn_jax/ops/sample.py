"""Images and volumes read at real-valued positions, all channels at the same ones or each at its own."""

import math
from typing import get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from geoattn_jax.ops.cells import sample_at
from geoattn_jax.ops.checks import check_array, check_choice, check_shape
from geoattn_jax.ops.interpolation import Method, Reading
from geoattn_jax.ops.padding import PaddingMode, ReflectAt
from geoattn_jax.ops.placement import reshape
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.resample import resample


def sample(
    image: Float[Array, "b *sizes c"],
    coords: Float[Array, "b *s d"],
    *,
    method: Method = "bilinear",
    padding_mode: PaddingMode = "zeros",
    reflect_at: ReflectAt = "edge",
) -> Float[Array, "b *s c"]:
    """Reads images or volumes at real-valued positions (Jaderberg et al. 2015, Eq. 3).

    Differentiable in both arguments, in forward and in reverse mode, to any order.

    Convention: coords are (y, x) in pixels for images (b, h, w, c), (z, y, x) for volumes (b, d, h, w, c);
    pixel centres at integers. Where a derivative jumps, bilinearly at an integer coordinate, it is the
    right-hand one, with "reflection" that at the mirrored coordinate. That in the position of a nearest pixel
    is zero. A NaN coordinate reads NaN and passes no gradient; so does an infinite one with "reflection".

    Args:
      image: pixels, any float dtype; the arithmetic is done in float32 or wider.
      coords: where to read, pixels; positions may lie outside the image. Keep them in float32 or wider
        beside a bfloat16 image: in bfloat16 a position beyond pixel 128 has no fraction left.
      method: "nearest" (halfway between two pixels the even one), "bilinear" (in volumes trilinear), or
        "bicubic" (Keys 1981 with a = -0.75, as in torch; in volumes along all three axes).
      padding_mode: what lies outside, "zeros", "border" (the nearest edge pixel), or "reflection" (the
        image's mirror images).
      reflect_at: where "reflection" sets the mirrors, at the outer "edge" of the outermost pixels (each is
        then seen twice in a row) or at their "centre"; these are torch's with align_corners False and True.

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or an option is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import sample
      >>> image = jnp.arange(6.0).reshape(1, 2, 3, 1)  # [[0, 1, 2], [3, 4, 5]]
      >>> coords = jnp.array([[[0.0, 0.75], [0.0, 3.0]]])  # the second one a pixel behind the last
      >>> sample(image, coords, method="nearest")[0, :, 0].tolist()
      [1.0, 0.0]
      >>> sample(image, coords, padding_mode="reflection", reflect_at="centre")[0, :, 0].tolist()
      [0.75, 1.0]
    """
    return _checked_sample("sample", image, coords, Reading(method, padding_mode, reflect_at))


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """Reads `image` at real-valued positions (Jaderberg et al. 2015, Eq. 5): `sample` with its defaults.

    Differentiable in both arguments, in forward and in reverse mode, to any order.

    Convention: coords are (y, x) in pixels, pixel centres at integers, y down. At an integer coordinate the
    derivative is the right-hand one. A NaN coordinate reads NaN and passes no gradient.

    Args:
      image: pixels, any float dtype; the arithmetic is done in float32 or wider.
      coords: where to read, pixels; positions may lie outside the image. Keep them in float32 or wider
        beside a bfloat16 image: in bfloat16 a position beyond pixel 128 has no fraction left.
      padding_mode: what lies outside, "zeros", "border" (the nearest edge pixel) or "reflection" (at the
        outer edge of the outermost pixels).

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or padding_mode is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import bilinear_sample
      >>> image = jnp.arange(6.0).reshape(1, 2, 3, 1)  # [[0, 1, 2], [3, 4, 5]]
      >>> coords = jnp.array([[[1.0, 1.5], [0.5, 0.0], [0.0, 9.0]]])
      >>> bilinear_sample(image, coords)[0, :, 0].tolist()
      [4.5, 1.5, 0.0]
    """
    check_image("bilinear_sample", jnp.asarray(image))
    return _checked_sample("bilinear_sample", image, coords, Reading(padding_mode=padding_mode))


def grid_sample(
    image: Float[Array, "b *sizes c"],
    grid: Float[Array, "b *s d"],
    *,
    method: Method = "bilinear",
    padding_mode: PaddingMode = "zeros",
    align_corners: bool = False,
) -> Float[Array, "b *s c"]:
    """`sample` with the grid of torch.nn.functional.grid_sample, for programs that come from there.

    Only the channels' axis is another: here it is the last.

    Convention: grid is normalized, (x, y) for images (b, h, w, c), (x, y, z) for volumes (b, d, h, w, c);
    -1 and 1 are the outer edges of the outermost pixels, with `align_corners` their centres. Values and
    gradients are torch's but at the first pixel of an axis, where a derivative jumps: there torch's is zero
    with "border" and "reflection", and here that of `sample`.

    Args:
      image: pixels, any float dtype.
      grid: where to read, normalized. Keep it in float32 or wider.
      method: "nearest", "bilinear" or "bicubic", torch's `mode`.
      padding_mode: what lies outside, "zeros", "border" or "reflection" (at what -1 and 1 stand for).
      align_corners: what -1 and 1 stand for.

    Returns: the samples, in image's dtype.
    Raises: ValueError if ranks, dtypes or batch sizes disagree, or an option is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import grid_sample
      >>> image = jnp.arange(6.0).reshape(1, 2, 3, 1)  # [[0, 1, 2], [3, 4, 5]]
      >>> corner_and_middle = jnp.array([[[1.0, -1.0], [0.0, 0.0]]])
      >>> grid_sample(image, corner_and_middle, align_corners=True)[0, :, 0].tolist()
      [2.0, 2.5]
    """
    image, grid = jnp.asarray(image), jnp.asarray(grid)
    if not isinstance(align_corners, bool):
        raise ValueError(f"grid_sample: align_corners must be True or False, got {align_corners!r}")
    reading = Reading(method, padding_mode, "centre" if align_corners else "edge")
    _check_sample("grid_sample", "grid", image, grid, reading)
    grid = widen(grid)
    sizes = jnp.stack([jnp.asarray(size - align_corners, grid.dtype) for size in image.shape[1:-1]])
    coords = ((grid[..., ::-1] + 1) * sizes - (0 if align_corners else 1)) / 2
    return _sample(image, coords, reading)


def _checked_sample(function: str, image: ArrayLike, coords: ArrayLike, reading: Reading) -> jax.Array:
    image, coords = jnp.asarray(image), jnp.asarray(coords)
    _check_sample(function, "coords", image, coords, reading)
    return _sample(image, coords, reading)


def _sample(image: jax.Array, coords: jax.Array, reading: Reading) -> jax.Array:
    positions = reshape(coords, (coords.shape[0], math.prod(coords.shape[1:-1]), coords.shape[-1]))
    return reshape(sample_at(image, positions, reading), (*coords.shape[:-1], image.shape[-1]))


def _check_sample(function: str, name: str, image: jax.Array, where: jax.Array, reading: Reading) -> None:
    check_pixels(function, image)
    axes = {"coords": ("y, x", "z, y, x"), "grid": ("x, y", "x, y, z")}[name][image.ndim - 4]
    own = f"give every image of the batch its own {name}, with ({axes}) on the last axis"
    if image.ndim == 4 and where.ndim > 0 and where.shape[-1] == 3:
        own += "; give a single volume a batch axis by image[None]"
    check_array(function, name, where, f"b *s {image.ndim - 2}", own)
    check_shape(
        function, name, where, (image.shape[0], *where.shape[1:-1], image.ndim - 2),
        because=f"(({axes}) of each sample in each image of shape {image.shape})",
        remedy=own,
    )  # fmt: skip
    for option, choices in (("method", Method), ("padding_mode", PaddingMode), ("reflect_at", ReflectAt)):
        check_choice(function, option, getattr(reading, option), get_args(choices))


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
    Raises: ValueError if ranks, dtypes or shapes disagree.

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
    return resample(image, offsets)


def check_image(function: str, image: jax.Array) -> None:
    """Checks that `image` is a batch of floating-point images that have pixels.

    Raises: ValueError naming what came and what was expected.
    """
    missing = "give a single image a batch axis by image[None], a grey one a channel axis by image[..., None]"
    check_array(function, "image", image, "b h w c", missing)
    _check_has_pixels(function, "image", image)


def check_pixels(function: str, image: jax.Array) -> None:
    """Checks that `image` is a batch of floating-point images or volumes that have pixels.

    Raises: ValueError naming what came and what was expected.
    """
    if image.ndim == 5:
        check_volume(function, "image", image)
    else:
        check_image(function, image)


def check_volume(function: str, name: str, volume: jax.Array) -> None:
    """Checks that `volume` is a batch of floating-point volumes, or clips, that have pixels.

    Raises: ValueError naming what came and what was expected.
    """
    missing = (
        f"give a single one a batch axis by {name}[None], a grey one a channel axis by {name}[..., None]"
    )
    check_array(function, name, volume, "b d h w c", missing)
    _check_has_pixels(function, name, volume)


def _check_has_pixels(function: str, name: str, image: jax.Array) -> None:
    if 0 in image.shape[1:-1]:
        raise ValueError(f"{function}: {name} must have at least one pixel, got shape {image.shape}")
