"""The arrays of torchvision.ops.deform_conv2d in the order of `deform_conv2d`'s."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_array, check_pair, check_shape


def offsets_from_torchvision(
    offset_nchw: Float[Array, "b channels ho wo"], *, kernel_size: tuple[int, int], offset_groups: int
) -> Float[Array, "b ho wo g taps 2"]:
    """Turns torchvision.ops.deform_conv2d's `offset` into `deform_conv2d`'s `offsets`.

    Convention: both are (dy, dx) in pixels, taps in row-major order; only the order of the axes differs.

    Args:
      offset_nchw: torchvision's tensor, with 2 * offset_groups * kh * kw channels.
      kernel_size: height and width of the kernel.
      offset_groups: number of offset groups.

    Returns: the same offsets in the order (batch, y, x, group, tap, (dy, dx)).
    Raises: ValueError if the channels are not those of kernel_size and offset_groups.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import offsets_from_torchvision
      >>> offsets_from_torchvision(jnp.zeros((2, 36, 7, 8)), kernel_size=(3, 3), offset_groups=2).shape
      (2, 7, 8, 2, 9, 2)
    """
    return _from_torchvision(
        "offsets_from_torchvision", "offset_nchw", offset_nchw, kernel_size, offset_groups, (2,)
    )


def mask_from_torchvision(
    mask_nchw: Float[Array, "b channels ho wo"], *, kernel_size: tuple[int, int], offset_groups: int
) -> Float[Array, "b ho wo g taps"]:
    """Turns torchvision.ops.deform_conv2d's `mask` into `deform_conv2d`'s.

    Convention: taps in row-major order in both; only the order of the axes differs.

    Args:
      mask_nchw: torchvision's tensor, with offset_groups * kh * kw channels.
      kernel_size: height and width of the kernel.
      offset_groups: number of offset groups.

    Returns: the same mask in the order (batch, y, x, group, tap).
    Raises: ValueError if the channels are not those of kernel_size and offset_groups.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import mask_from_torchvision
      >>> mask_from_torchvision(jnp.ones((2, 18, 7, 8)), kernel_size=(3, 3), offset_groups=2).shape
      (2, 7, 8, 2, 9)
    """
    return _from_torchvision("mask_from_torchvision", "mask_nchw", mask_nchw, kernel_size, offset_groups, ())


def _from_torchvision(function, name, array, kernel_size, offset_groups, last_axes):
    array = jnp.asarray(array)
    check_array(function, name, array, "b channels ho wo", f"give a single item as {name}[None]")
    check_pair(function, "kernel_size", kernel_size, minimum=1)
    b, _, ho, wo = array.shape
    axes = (offset_groups, math.prod(kernel_size), *last_axes)
    check_shape(
        function, name, array, (b, math.prod(axes), ho, wo),
        because=f"(kernel_size {kernel_size}, offset_groups {offset_groups})",
        remedy="check kernel_size and offset_groups, and that the axes are (batch, channels, y, x)",
    )  # fmt: skip
    return jnp.moveaxis(array, 1, -1).reshape(b, ho, wo, *axes)
