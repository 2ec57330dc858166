"""Deformable convolutions: the taps of their kernels are moved by offsets."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from geoattn_jax.ops.conv_layout import Padding, resolve_layout
from geoattn_jax.ops.taps import convolve


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
    """Convolution whose taps are moved by `offsets`, with `mask` also weighted one by one.

    Without mask Eq. 1b of Shan & Atanasov 2017 (Dai et al. 2017, Eq. 2):
    y(p0) = sum_n w(p_n) x(p0 + p_n + dp_n); with mask Zhu et al. 2018, Eq. 1. Offsets of zero give
    `lax.conv_general_dilated`. Differentiable in every array, in forward and in
    reverse mode, to any order.

    Convention: offsets are (dy, dx) in pixels, y down, taps in row-major order; outside the image zeros are
    read. At an integer position the derivative is the right-hand one. A NaN offset makes its output NaN, and
    such an output passes no gradient. Channels are divided evenly, in order, among the g offset groups (each
    with offsets of its own) and the feature groups (each with kernels of its own).

    Args:
      image: float images or feature maps.
      offsets: where each tap is moved, for each output pixel and offset group, pixels; any float dtype.
      kernel: weights in HWIO order, in image's dtype; cin_per_group is cin // feature_group_count.
      bias: added to the output, in image's dtype.
      mask: weight of each tap, for each output pixel and offset group; any float dtype.
      strides: step between output pixels (y, x), pixels.
      padding: "SAME", "VALID", or ((top, bottom), (left, right)) in pixels, not negative.
      kernel_dilation: step between taps (y, x), pixels.
      feature_group_count: into how many groups channels and outputs are divided.

    Returns: the output, in image's dtype.
    Raises: ValueError if a rank, dtype or size does not fit the others.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import deform_conv2d
      >>> image = jnp.arange(5.0).reshape(1, 1, 5, 1)
      >>> kernel = jnp.ones((1, 1, 1, 1))
      >>> offsets = jnp.zeros((1, 1, 5, 1, 1, 2)).at[..., 1].set(0.5)  # half a pixel to the right
      >>> deform_conv2d(image, offsets, kernel)[0, 0, :, 0].tolist()
      [0.5, 1.5, 2.5, 3.5, 2.0]
    """
    options = strides, padding, kernel_dilation, feature_group_count
    return _convolved("deform_conv2d", image, offsets, kernel, bias, mask, *options)


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
    """`deform_conv2d` of volumes, or of clips with time as their first axis.

    Dai et al. 2017, Eq. 2, and with mask Zhu et al. 2018, Eq. 1, with trilinear interpolation. Offsets of
    zero give `lax.conv_general_dilated`. Differentiable in every array, in forward and in reverse mode, to
    any order.

    Convention: offsets are (dz, dy, dx) in voxels, taps in row-major order; outside the volume zeros are
    read. Everything else as in `deform_conv2d`.

    Args:
      volume: float volumes, clips, or their feature maps.
      offsets: where each tap is moved, for each output voxel and offset group, voxels; any float dtype.
      kernel: weights in DHWIO order, in volume's dtype; cin_per_group is cin // feature_group_count.
      bias: added to the output, in volume's dtype.
      mask: weight of each tap, for each output voxel and offset group; any float dtype.
      strides: step between output voxels (z, y, x), voxels.
      padding: "SAME", "VALID", or ((front, back), (top, bottom), (left, right)) in voxels, not negative.
      kernel_dilation: step between taps (z, y, x), voxels.
      feature_group_count: into how many groups channels and outputs are divided.

    Returns: the output, in volume's dtype.
    Raises: ValueError if a rank, dtype or size does not fit the others.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import deform_conv3d
      >>> clip = jnp.arange(3.0).reshape(1, 3, 1, 1, 1)  # three frames of one pixel
      >>> kernel = jnp.ones((1, 1, 1, 1, 1))
      >>> offsets = jnp.zeros((1, 3, 1, 1, 1, 1, 3)).at[..., 0].set(0.5)  # half a frame later
      >>> deform_conv3d(clip, offsets, kernel)[0, :, 0, 0, 0].tolist()
      [0.5, 1.5, 1.0]
    """
    options = strides, padding, kernel_dilation, feature_group_count
    return _convolved("deform_conv3d", volume, offsets, kernel, bias, mask, *options)


def _convolved(
    function: str,
    image: ArrayLike,
    offsets: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None,
    mask: ArrayLike | None,
    *options: Any,
) -> jax.Array:
    image, offsets, kernel = (jnp.asarray(array) for array in (image, offsets, kernel))
    bias, mask = (None if array is None else jnp.asarray(array) for array in (bias, mask))
    layout = resolve_layout(function, image, offsets, kernel, bias, mask, *options)
    return convolve(image, offsets, kernel, bias, mask, layout)
