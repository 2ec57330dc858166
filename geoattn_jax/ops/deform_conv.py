"""Deformable convolution: a convolution whose taps are moved by offsets (Dai et al. 2017, Zhu et al. 2018).

One loop over the taps of the kernel, forward and backward: sample the image where the tap looks, multiply
by the tap's matrix, add. The matrix of all taps' samples, kh*kw times the image, is never built.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.checks import check_array, check_pair, check_shape, forward_mode_hint
from geoattn_jax.ops.conv_layout import ConvLayout, Padding, resolve_layout
from geoattn_jax.ops.sample import read, scatter, slope, widen


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
    `lax.conv_general_dilated`. Differentiable in every array, in reverse mode to any order; forward mode is
    left to `geoattn_jax.ops.reference.deform_conv2d`.

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
    Raises: ValueError if a rank, dtype or size does not fit the others; TypeError under forward-mode
      differentiation.
    """
    layout = resolve_layout(
        image, offsets, kernel, bias, mask, strides, padding, kernel_dilation, feature_group_count
    )
    (b, h, w, cin), g, f = image.shape, layout.offset_groups, layout.feature_groups
    images = _split(image.reshape(b, h, w, g, cin // g))
    tap_offsets = _split(offsets.reshape(b, -1, g, 2 * layout.taps)).reshape(b * g, -1, layout.taps, 2)
    tap_mask = None if mask is None else _split(mask.reshape(b, -1, g, layout.taps))
    matrices = jnp.moveaxis(kernel.reshape(layout.taps, cin // f, f, -1), 2, 1)
    with forward_mode_hint("deform_conv2d"):
        output = _deform_conv(images, tap_offsets, tap_mask, matrices, layout)
    output = output.reshape(b, *layout.output_hw, -1)
    return output if bias is None else output + bias


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
    """
    return _from_torchvision("mask_from_torchvision", "mask_nchw", mask_nchw, kernel_size, offset_groups, ())


def _from_torchvision(function, name, array, kernel_size, offset_groups, last_axes):
    check_array(function, name, array, "b channels ho wo")
    check_pair(function, "kernel_size", kernel_size, minimum=1)
    b, _, ho, wo = array.shape
    axes = (offset_groups, math.prod(kernel_size), *last_axes)
    check_shape(
        function, name, array, (b, math.prod(axes), ho, wo),
        because=f"(kernel_size {kernel_size}, offset_groups {offset_groups})",
        remedy="check kernel_size and offset_groups, and that the axes are (batch, channels, y, x)",
    )  # fmt: skip
    return jnp.moveaxis(array, 1, -1).reshape(b, ho, wo, *axes)


# The loop below works on these arrays. Batch and offset groups share an axis, bg = b * g, because to the
# sampler they are alike; n are the output pixels in a row; f, i, o are feature groups, their inputs, outputs.
#   images (bg, h, w, c), offsets (bg, n, taps, 2), mask (bg, n, taps) or None, matrices (taps, f, i, o)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _deform_conv(images, offsets, mask, matrices, layout: ConvLayout) -> Float[Array, "b n f o"]:
    """Eq. 1b of Shan & Atanasov 2017, one p_n after the other."""

    def add_tap(tap: Int[Array, ""], output: Float[Array, "b n f o"]) -> Float[Array, "b n f o"]:
        samples = read(images, layout.positions(offsets, tap), "zeros")
        columns = _columns(_weigh(samples, mask, tap), layout)
        return output + _product("bnfi,fio->bnfo", columns, matrices[tap])

    _, f, _, o = matrices.shape
    start = jnp.zeros((len(images) // layout.offset_groups, offsets.shape[1], f, o), widen(images).dtype)
    return lax.fori_loop(0, layout.taps, add_tap, start).astype(images.dtype)


def _deform_conv_forward(images, offsets, mask, matrices, layout):
    return _deform_conv.fun(images, offsets, mask, matrices, layout), (images, offsets, mask, matrices)


def _deform_conv_backward(layout, residuals, cotangent):
    # The barriers keep XLA from sharing gathers between forward pass, samples and slopes: shared, they are
    # written to memory. For the same reason every tap is sampled once more, and the cotangent turned around
    # (batch and pixels last) before the loop: the product over them would turn its operand at every tap.
    images, offsets, mask, matrices = lax.optimization_barrier(residuals)
    cotangent = _drop_nan(cotangent, offsets, layout)
    turned_cotangent = lax.optimization_barrier(jnp.moveaxis(cotangent, (0, 1), (2, 3)))

    def add_tap(tap: Int[Array, ""], gradients):
        to_images, to_offsets, to_mask, to_matrices = gradients
        positions = layout.positions(offsets, tap)
        positions = jnp.where(jnp.isnan(positions), 0, positions)
        samples = read(images, positions, "zeros")
        columns = _columns(_weigh(samples, mask, tap), layout)
        to_matrix = _product("fobn,bnfi->foi", turned_cotangent, columns)

        to_columns = _product("bnfo,fio->bnfi", cotangent, matrices[tap]).astype(images.dtype)
        to_columns = _split(to_columns.reshape(*to_columns.shape[:2], layout.offset_groups, -1))
        if mask is not None:
            to_weight = jnp.sum(widen(to_columns) * widen(samples), axis=-1)
            to_mask = lax.dynamic_update_index_in_dim(to_mask, to_weight, tap, axis=2)
        to_samples = _weigh(to_columns, mask, tap)
        to_positions = slope(images, lax.optimization_barrier(positions), to_samples, "zeros")
        return (
            scatter(to_images, positions, to_samples, "zeros"),
            lax.dynamic_update_index_in_dim(to_offsets, to_positions, tap, axis=2),
            to_mask,
            lax.dynamic_update_index_in_dim(to_matrices, to_matrix, tap, axis=0),
        )

    start = images, offsets, mask, jnp.swapaxes(matrices, -1, -2)
    start = jax.tree.map(lambda array: jnp.zeros_like(widen(array)), start)
    *gradients, to_matrices = lax.fori_loop(0, layout.taps, add_tap, start)
    gradients = *gradients, jnp.swapaxes(to_matrices, -1, -2)
    return jax.tree.map(lambda gradient, array: gradient.astype(array.dtype), gradients, residuals)


_deform_conv.defvjp(_deform_conv_forward, _deform_conv_backward)


def _split(array: Float[Array, "b *n g c"]) -> Float[Array, "bg *n c"]:
    """Moves the offset groups from beside the channels to beside the batch."""
    array = jnp.moveaxis(array, -2, 1)
    return array.reshape(-1, *array.shape[2:])


def _columns(samples: Float[Array, "bg n c"], layout: ConvLayout) -> Float[Array, "b n f i"]:
    """All channels side by side again, divided into feature groups."""
    bg, n, _ = samples.shape
    channels = jnp.moveaxis(samples.reshape(-1, layout.offset_groups, *samples.shape[1:]), 1, 2)
    return channels.reshape(bg // layout.offset_groups, n, layout.feature_groups, -1)


def _weigh(samples: Float[Array, "bg n c"], mask: Float[Array, "bg n taps"] | None, tap: Int[Array, ""]):
    return samples if mask is None else samples * mask[:, :, tap, None].astype(samples.dtype)


def _product(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """A product for each feature group f, summed up in float32 or wider."""
    if a.shape[subscripts.index("f")] > 1:
        return jnp.einsum(subscripts, a, b, preferred_element_type=widen(a).dtype)
    # With a group axis of one XLA would transpose the operands in memory first.
    axes = [term.index("f") for term in subscripts.replace("->", ",").split(",")]
    product = jnp.einsum(
        subscripts.replace("f", ""),
        jnp.squeeze(a, axes[0]),
        jnp.squeeze(b, axes[1]),
        preferred_element_type=widen(a).dtype,
    )
    return jnp.expand_dims(product, axes[2])


def _drop_nan(
    cotangent: Float[Array, "b n f o"], offsets: Float[Array, "bg n taps 2"], layout: ConvLayout
) -> Float[Array, "b n f o"]:
    """Zeros the cotangent of outputs that a NaN offset made NaN, lest it spoil all gradients."""
    f, g = layout.feature_groups, layout.offset_groups
    # Channels c/g, c/g + 1, ... belong to an offset group, c/f, c/f + 1, ... to a feature group.
    first, last = np.arange(f) * g // f, -(-(np.arange(f) + 1) * g // f)
    nan = jnp.isnan(offsets).any(axis=(-2, -1)).reshape(-1, g, offsets.shape[1])
    spoiled = jnp.stack([nan[:, a:b].any(axis=1) for a, b in zip(first, last, strict=True)], axis=-1)
    return jnp.where(spoiled[..., None], 0, cotangent)
