"""The loop of deformable convolutions over the taps of their kernel, in images and in volumes.

One loop, forward and backward: sample the image where the tap looks, multiply by the tap's matrix, add. The
matrix of all taps' samples, as many times the image as there are taps, is never built. On a CPU `im2col`
takes the place of the loop where it can.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops import im2col
from geoattn_jax.ops.backward_pass import with_backward_pass
from geoattn_jax.ops.cells import scatter, slope
from geoattn_jax.ops.conv_layout import ConvLayout
from geoattn_jax.ops.interpolation import Reading
from geoattn_jax.ops.lookups import image_of, pixels_of, zeros_to_add_to
from geoattn_jax.ops.native_fit import fits
from geoattn_jax.ops.offset_groups import split, taps_first
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import divided_alike, reshape, varying_alike, zeros
from geoattn_jax.ops.platforms import Schedule, by_platform
from geoattn_jax.ops.precision import wide_dtype, widen
from geoattn_jax.ops.products import drop_nan, product, sums_batch_last
from geoattn_jax.ops.series import one_row, read_series, slices
from geoattn_jax.ops.sizes import Size


def convolve(
    image: Float[Array, "b *sizes cin"],
    offsets: Float[Array, "b *outputs g taps d"],
    kernel: Float[Array, "*ks cin_per_group cout"],
    bias: Float[Array, " cout"] | None,
    mask: Float[Array, "b *outputs g taps"] | None,
    layout: ConvLayout,
) -> Float[Array, "b *outputs cout"]:
    """The deformable convolution of this layout, of arguments that were checked."""
    image, offsets, mask = divided_alike((image, offsets, mask))
    image, offsets, kernel, mask = varying_alike((image, offsets, kernel, mask))
    (b, *sizes, cin), g, f = image.shape, layout.offset_groups, layout.feature_groups
    images = split(reshape(image, (b, *sizes, g, cin // g)))
    n, taps = layout.num_outputs, layout.taps
    tap_offsets = taps_first(reshape(offsets, (b, n, g, taps, len(sizes))))
    tap_mask = None if mask is None else taps_first(reshape(mask, (b, n, g, taps, 1)))
    matrices = jnp.moveaxis(kernel.reshape(taps, cin // f, f, kernel.shape[-1] // f), 2, 1)
    output = _deform_conv(layout, images, tap_offsets, tap_mask, matrices)
    output = reshape(output, (b, *layout.output_sizes, kernel.shape[-1]))
    return output if bias is None else output + bias


# In the place of a NaN position: nothing is read there.
_OUTSIDE = -2

# What is below works on these arrays. Batch and offset groups share an axis, bg = b * g, because to the
# sampler they are alike; n are the output pixels in a row, t some taps in a row; f, i, o are feature groups,
# their inputs, outputs.
#   images (bg, *sizes, c), offsets (bg, taps, n, d), mask (bg, taps, n, 1) or None, matrices (taps, f, i, o)


def _forward(layout: ConvLayout, images, offsets, mask, matrices) -> Float[Array, "b n f o"]:
    return by_platform(partial(_output, layout), images, offsets, mask, matrices)


def _output(layout, schedule, images, offsets, mask, matrices) -> Float[Array, "b n f o"]:
    """Eq. 1b of Shan & Atanasov 2017 for some p0 at a time, and some p_n at a time."""
    arguments = images, offsets, mask, matrices
    if fits(schedule, images, offsets, mask, matrices, groups=layout.offset_groups):
        by_jax = partial(_output, layout, schedule.without_native())
        return im2col.output(layout, schedule, arguments, by_jax)
    pixels = pixels_of(images, images.shape[1:-1], Reading(), schedule=schedule)

    def add_part(start: Int[Array, ""], size: Size, output: Float[Array, "b n f o"]):
        def add_taps(tap: Int[Array, ""], count: int, total: Float[Array, "b part f o"]):
            some_offsets, some_mask = slices((offsets, mask), (tap, count), (start, size))
            positions = layout.positions(some_offsets, tap, start)
            columns = _columns(_weigh(read_series(pixels, positions, images.shape[1:]), some_mask), layout)
            some_matrices = lax.dynamic_slice_in_dim(matrices, tap, count)
            return total + product("btnfi,tfio->bnfo", columns, some_matrices)

        total = zeros((output.shape[0], size, *output.shape[2:]), wide_dtype(output), beside=images)
        total = _over_taps(add_taps, total, layout, schedule)
        return lax.dynamic_update_slice_in_dim(output, total.astype(output.dtype), start, axis=1)

    n, f, o = offsets.shape[2], matrices.shape[1], matrices.shape[3]
    output = zeros((images.shape[0] // layout.offset_groups, n, f, o), images.dtype, beside=images)
    return _over_pixels(add_part, output, images, matrices, layout, schedule)


def _backward(layout, arguments, cotangent):
    return by_platform(partial(_gradients, layout), arguments, cotangent)


def _gradients(layout, schedule, arguments, cotangent):
    if fits(schedule, *arguments, groups=layout.offset_groups):
        by_jax = partial(_gradients, layout, schedule.without_native())
        return im2col.gradients(layout, schedule, arguments, cotangent, by_jax)
    # The barriers keep XLA from sharing gathers between forward pass, samples and slopes: what is shared is
    # written to memory. Every tap is sampled once more, because the samples of all taps would take as many
    # times the image's memory.
    images, offsets, mask, matrices = lax.optimization_barrier(arguments)
    cotangent = drop_nan(cotangent, offsets, layout)
    pixels, b = pixels_of(images, images.shape[1:-1], Reading(), schedule=schedule), cotangent.shape[0]
    sums_last = sums_batch_last(matrices, images, b, schedule)
    taps_axis, to_matrix_terms = (1, "bfon,btnfi->btfoi") if sums_last else (0, "fobn,btnfi->tfoi")

    def add_part(start: Int[Array, ""], size: Size, gradients):
        part_cotangent = lax.dynamic_slice_in_dim(cotangent, start, size, axis=1)
        # In the order of the product over pixels, once for all taps: it would turn it for every tap.
        turned = (
            jnp.moveaxis(part_cotangent, 1, 3) if sums_last else jnp.moveaxis(part_cotangent, (0, 1), (2, 3))
        )
        turned_cotangent = lax.optimization_barrier(turned)

        def add_taps(tap: Int[Array, ""], count: int, gradients):
            to_pixels, to_offsets, to_mask, to_matrices = gradients
            some_offsets, some_mask = slices((offsets, mask), (tap, count), (start, size))
            positions = layout.positions(some_offsets, tap, start)
            positions = jnp.where(jnp.isnan(positions), _OUTSIDE, positions)
            samples = read_series(pixels, positions, images.shape[1:])
            columns = _columns(_weigh(samples, some_mask), layout)
            before = lax.dynamic_slice_in_dim(to_matrices, tap, count, axis=taps_axis)
            to_matrix = before + product(to_matrix_terms, turned_cotangent, columns, before)
            to_matrices = lax.dynamic_update_slice_in_dim(to_matrices, to_matrix, tap, axis=taps_axis)

            some_matrices = lax.dynamic_slice_in_dim(matrices, tap, count)
            to_columns = product("bnfo,tfio->btnfi", part_cotangent, some_matrices).astype(images.dtype)
            grouped = (b, count, size, layout.offset_groups, samples.shape[-1])
            to_columns = split(reshape(to_columns, grouped))
            if mask is not None:
                to_weights = jnp.sum(widen(to_columns) * widen(samples), axis=-1, keepdims=True)
                to_mask = lax.dynamic_update_slice(to_mask, to_weights, (0, tap, start, 0))
            to_samples = one_row(_weigh(to_columns, some_mask))
            if not schedule.reads_once:
                positions = lax.optimization_barrier(positions)
            how = {"image_shape": images.shape[1:], "schedule": schedule}
            to_positions = slope(pixels, one_row(positions), to_samples, **how)
            to_positions = reshape(to_positions, positions.shape)
            to_offsets = lax.dynamic_update_slice(to_offsets, to_positions, (0, tap, start, 0))
            to_pixels = scatter(to_pixels, one_row(positions), to_samples, **how)
            return to_pixels, to_offsets, to_mask, to_matrices

        return _over_taps(add_taps, gradients, layout, schedule)

    to_matrices = jnp.zeros_like(widen(jnp.swapaxes(matrices, -1, -2)))
    if sums_last:
        to_matrices = zeros((b, *to_matrices.shape), to_matrices.dtype, beside=images)
    gradients = (
        zeros_to_add_to(images, images.shape[1:-1], Reading(), wide_dtype(images), schedule=schedule),
        *jax.tree.map(lambda array: jnp.zeros_like(widen(array)), (offsets, mask)),
        to_matrices,
    )
    gradients = _over_pixels(add_part, gradients, images, matrices, layout, schedule)
    to_pixels, *others, to_matrices = gradients
    if sums_last:
        to_matrices = jnp.sum(to_matrices, axis=0)
    gradients = image_of(to_pixels, images.shape), *others, jnp.swapaxes(to_matrices, -1, -2)
    return jax.tree.map(lambda gradient, array: gradient.astype(array.dtype), gradients, tuple(arguments))


_deform_conv = with_backward_pass(_forward, _backward)


def _over_pixels(add_part, state, images, matrices, layout: ConvLayout, schedule: Schedule):
    """Adds the parts that the output's pixels are divided into."""
    _, f, i, o = matrices.shape
    # What the samples or products of taps take for one pixel of all images.
    bytes_of_tap = images.shape[0] * f * max(i, o) * wide_dtype(images).itemsize
    taps = layout.taps if schedule.all_taps_at_once else 1
    return in_parts(
        add_part,
        state,
        length=layout.num_outputs,
        bytes_each=taps * bytes_of_tap,
        part_bytes=schedule.tap_bytes,
    )


def _over_taps(add_taps, state, layout: ConvLayout, schedule: Schedule):
    """Adds all taps, together or one after the other."""
    if schedule.all_taps_at_once:
        return add_taps(jnp.asarray(0), layout.taps, state)
    return lax.fori_loop(0, layout.taps, lambda tap, state: add_taps(tap, 1, state), state)


def _columns(samples: Float[Array, "bg t n c"], layout: ConvLayout) -> Float[Array, "b t n f i"]:
    """All channels side by side again, divided into feature groups."""
    g, f = layout.offset_groups, layout.feature_groups
    bg, t, n, c = samples.shape
    samples = jnp.moveaxis(reshape(samples, (bg // g, g, t, n, c)), 1, 3)
    return reshape(samples, (bg // g, t, n, f, g * c // f))


def _weigh(samples: Float[Array, "bg t n c"], mask: Float[Array, "bg t n 1"] | None):
    return samples if mask is None else samples * mask.astype(samples.dtype)
