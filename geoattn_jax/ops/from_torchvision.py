"""The arrays of torch's deformable convolutions in the order of `deform_conv2d`'s."""

import math

import jax
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


def offsets_and_mask_from_dcnv2(
    branch_nchw: Float[Array, "b channels ho wo"], *, kernel_size: tuple[int, int], offset_groups: int
) -> tuple[Float[Array, "b ho wo g taps 2"], Float[Array, "b ho wo g taps"]]:
    """Turns the output of DCNv2's one convolution for both into `deform_conv2d`'s `offsets` and `mask`.

    Programs with modulated deformable convolutions (Zhu et al. 2018), EDVR's among them, divide that output
    into three equal shares: the first two, one after the other, are torchvision's `offset`, and the sigmoid
    of the third is its `mask`.

    Convention: offsets are (dy, dx) in pixels, taps in row-major order.

    Args:
      branch_nchw: the convolution's output, with 3 * offset_groups * kh * kw channels, before any sigmoid.
      kernel_size: height and width of the kernel.
      offset_groups: number of offset groups.

    Returns: the offsets in the order (batch, y, x, group, tap, (dy, dx)), the mask in the order (batch, y, x,
      group, tap).
    Raises: ValueError if the channels are not those of kernel_size and offset_groups.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import offsets_and_mask_from_dcnv2
      >>> branch = jnp.zeros((2, 54, 7, 8))
      >>> offsets, mask = offsets_and_mask_from_dcnv2(branch, kernel_size=(3, 3), offset_groups=2)
      >>> offsets.shape, mask.shape, mask.max().item()
      ((2, 7, 8, 2, 9, 2), (2, 7, 8, 2, 9), 0.5)
    """
    in_rows = _from_torchvision(
        "offsets_and_mask_from_dcnv2", "branch_nchw", branch_nchw, kernel_size, offset_groups, (3,)
    )
    b, ho, wo, groups, taps, _ = in_rows.shape
    offsets, mask = jnp.split(in_rows.reshape(b, ho, wo, 3 * groups * taps), [2 * groups * taps], axis=-1)
    return (
        offsets.reshape(b, ho, wo, groups, taps, 2),
        jax.nn.sigmoid(mask).reshape(b, ho, wo, groups, taps),
    )


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
