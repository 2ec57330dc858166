"""Deformable convolution: a convolution whose taps are moved by offsets (Dai et al. 2017, Zhu et al. 2018).

One loop over the taps of the kernel, forward and backward: sample the image where the tap looks, multiply
by the tap's matrix, add. The matrix of all taps' samples, kh*kw times the image, is never built.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.cells import read, scatter, slope, wide_dtype, widen
from geoattn_jax.ops.checks import check_array, check_pair, check_shape
from geoattn_jax.ops.conv_layout import ConvLayout, Padding, resolve_layout
from geoattn_jax.ops.forward_mode import reverse_mode_only
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, reshape, sharding_of_sum, varying_alike, zeros
from geoattn_jax.ops.sizes import Size


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
    image, offsets, kernel, bias, mask = (
        None if array is None else jnp.asarray(array) for array in (image, offsets, kernel, bias, mask)
    )
    layout = resolve_layout(
        image, offsets, kernel, bias, mask, strides, padding, kernel_dilation, feature_group_count
    )
    image, offsets, kernel, mask = reverse_mode_only("deform_conv2d", (image, offsets, kernel, mask))
    image, offsets, mask = divided_alike((image, offsets, mask))
    image, offsets, kernel, mask = varying_alike((image, offsets, kernel, mask))
    (b, h, w, cin), g, f = image.shape, layout.offset_groups, layout.feature_groups
    images = _split(reshape(image, (b, h, w, g, cin // g)))
    n, taps = math.prod(layout.output_hw), layout.taps
    tap_offsets = reshape(_split(reshape(offsets, (b, n, g, taps * 2))), (b * g, n, taps, 2))
    tap_mask = None if mask is None else _split(reshape(mask, (b, n, g, taps)))
    matrices = jnp.moveaxis(kernel.reshape(taps, cin // f, f, kernel.shape[-1] // f), 2, 1)
    output = _deform_conv(images, tap_offsets, tap_mask, matrices, layout)
    output = reshape(output, (b, *layout.output_hw, kernel.shape[-1]))
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


# In the place of a NaN position: nothing is read there.
_OUTSIDE = -2

# The loop below works on these arrays. Batch and offset groups share an axis, bg = b * g, because to the
# sampler they are alike; n are the output pixels in a row; f, i, o are feature groups, their inputs, outputs.
#   images (bg, h, w, c), offsets (bg, n, taps, 2), mask (bg, n, taps) or None, matrices (taps, f, i, o)


def _convolve(images, offsets, mask, matrices, layout: ConvLayout) -> Float[Array, "b n f o"]:
    """Eq. 1b of Shan & Atanasov 2017 for some p0 at a time, one p_n after the other."""

    def add_part(start: Int[Array, ""], size: Size, output: Float[Array, "b n f o"]):
        part_offsets, part_mask = _part((offsets, mask), start, size)

        def add_tap(tap: Int[Array, ""], total: Float[Array, "b part f o"]):
            samples = read(images, layout.positions(part_offsets, tap, start))
            columns = _columns(_weigh(samples, part_mask, tap), layout)
            return total + _product("bnfi,fio->bnfo", columns, matrices[tap])

        total = zeros((output.shape[0], size, *output.shape[2:]), wide_dtype(output), beside=images)
        total = lax.fori_loop(0, layout.taps, add_tap, total)
        return lax.dynamic_update_slice_in_dim(output, total.astype(output.dtype), start, axis=1)

    n, f, o = offsets.shape[1], matrices.shape[1], matrices.shape[3]
    output = zeros((images.shape[0] // layout.offset_groups, n, f, o), images.dtype, beside=images)
    return in_parts(add_part, output, length=n, bytes_each=_bytes_per_pixel(images, matrices))


_deform_conv = jax.custom_vjp(_convolve, nondiff_argnums=(4,))


def _deform_conv_forward(images, offsets, mask, matrices, layout):
    return _convolve(images, offsets, mask, matrices, layout), (images, offsets, mask, matrices)


def _deform_conv_backward(layout, residuals, cotangent):
    # The barriers keep XLA from sharing gathers between forward pass, samples and slopes: what is shared is
    # written to memory. Every tap is sampled once more, because the samples of all taps would take as many
    # times the image's memory.
    images, offsets, mask, matrices = lax.optimization_barrier(residuals)
    cotangent = _drop_nan(cotangent, offsets, layout)

    def add_part(start: Int[Array, ""], size: Size, gradients):
        part_offsets, part_mask, part_cotangent = _part((offsets, mask, cotangent), start, size)
        # With batch and pixels last, once for all taps: the product over them would turn it for every tap.
        turned_cotangent = lax.optimization_barrier(jnp.moveaxis(part_cotangent, (0, 1), (2, 3)))

        def add_tap(tap: Int[Array, ""], gradients):
            to_images, to_offsets, to_mask, to_matrices = gradients
            positions = layout.positions(part_offsets, tap, start)
            positions = jnp.where(jnp.isnan(positions), _OUTSIDE, positions)
            samples = read(images, positions)
            columns = _columns(_weigh(samples, part_mask, tap), layout)
            to_matrix = _product("fobn,bnfi->foi", turned_cotangent, columns, to_matrices[tap])
            to_matrices = to_matrices.at[tap].add(to_matrix, mode="promise_in_bounds")

            to_columns = _product("bnfo,fio->bnfi", part_cotangent, matrices[tap]).astype(images.dtype)
            grouped = (to_columns.shape[0], size, layout.offset_groups, samples.shape[-1])
            to_columns = _split(reshape(to_columns, grouped))
            if mask is not None:
                to_weights = jnp.sum(widen(to_columns) * widen(samples), axis=-1, keepdims=True)
                to_mask = lax.dynamic_update_slice(to_mask, to_weights, (0, start, tap))
            to_samples = _weigh(to_columns, part_mask, tap)
            to_positions = slope(images, lax.optimization_barrier(positions), to_samples)
            to_offsets = lax.dynamic_update_slice(to_offsets, to_positions[:, :, None], (0, start, tap, 0))
            to_images = scatter(to_images, positions, to_samples)
            return to_images, to_offsets, to_mask, to_matrices

        return lax.fori_loop(0, layout.taps, add_tap, gradients)

    gradients = jax.tree.map(
        lambda array: jnp.zeros_like(widen(array)), (images, offsets, mask, jnp.swapaxes(matrices, -1, -2))
    )
    gradients = in_parts(
        add_part, gradients, length=offsets.shape[1], bytes_each=_bytes_per_pixel(images, matrices)
    )
    *others, to_matrices = gradients
    gradients = *others, jnp.swapaxes(to_matrices, -1, -2)
    return jax.tree.map(lambda gradient, array: gradient.astype(array.dtype), gradients, residuals)


_deform_conv.defvjp(_deform_conv_forward, _deform_conv_backward)


def _part(arrays, start: Int[Array, ""], size: Size):
    return jax.tree.map(lambda array: lax.dynamic_slice_in_dim(array, start, size, axis=1), arrays)


def _bytes_per_pixel(images, matrices) -> Size:
    """What one tap's samples or products take for one pixel of all images."""
    _, f, i, o = matrices.shape
    return images.shape[0] * f * max(i, o) * wide_dtype(images).itemsize


def _split(array: Float[Array, "b *n g c"]) -> Float[Array, "bg *n c"]:
    """Moves the offset groups from beside the channels to beside the batch."""
    array = jnp.moveaxis(array, -2, 1)
    return reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))


def _columns(samples: Float[Array, "bg n c"], layout: ConvLayout) -> Float[Array, "b n f i"]:
    """All channels side by side again, divided into feature groups."""
    g, f = layout.offset_groups, layout.feature_groups
    bg, n, c = samples.shape
    samples = jnp.moveaxis(reshape(samples, (bg // g, g, n, c)), 1, 2)
    return reshape(samples, (bg // g, n, f, g * c // f))


def _weigh(samples: Float[Array, "bg n c"], mask: Float[Array, "bg n taps"] | None, tap: Int[Array, ""]):
    return samples if mask is None else samples * mask[:, :, tap, None].astype(samples.dtype)


def _product(subscripts: str, a: jax.Array, b: jax.Array, summed_like: jax.Array | None = None) -> jax.Array:
    """A product for each feature group f, summed up in float32 or wider.

    A sum over the batch is placed as `summed_like`, an array of the same axes.
    """
    operands, axis = [a, b], None
    if a.shape[subscripts.index("f")] == 1:
        # With a group axis of one XLA would transpose the operands in memory first.
        *axes, axis = (term.index("f") for term in subscripts.replace("->", ",").split(","))
        operands = [jnp.squeeze(*pair) for pair in zip(operands, axes, strict=True)]
        summed_like = summed_like if summed_like is None else jnp.squeeze(summed_like, axis)
        subscripts = subscripts.replace("f", "")
    product = jnp.einsum(
        subscripts,
        *operands,
        preferred_element_type=widen(a).dtype,
        out_sharding=None if summed_like is None else sharding_of_sum(b, summed_like),
    )
    return product if axis is None else jnp.expand_dims(product, axis)


def _drop_nan(
    cotangent: Float[Array, "b n f o"], offsets: Float[Array, "bg n taps 2"], layout: ConvLayout
) -> Float[Array, "b n f o"]:
    """Zeros the cotangent of outputs that a NaN offset made NaN, lest it spoil all gradients."""
    f, g = layout.feature_groups, layout.offset_groups
    # Both kinds of groups divide the channels in order: feature group k overlaps offset groups first[k] to
    # last[k] - 1.
    first, last = np.arange(f) * g // f, -(-(np.arange(f) + 1) * g // f)
    nan = reshape(jnp.isnan(offsets).any(axis=(-2, -1)), (cotangent.shape[0], g, offsets.shape[1]))
    spoiled = jnp.stack([nan[:, a:b].any(axis=1) for a, b in zip(first, last, strict=True)], axis=-1)
    return jnp.where(spoiled[..., None], 0, cotangent)
