"""Deformable convolution of images as products, whose factors native kernels fill and take apart.

They are columns, what the taps of all offset groups read for some output pixels, a row for each of them: as
many pixels at a time as keep their columns in the cache.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax import native
from geoattn_jax.ops.conv_layout import ConvLayout
from geoattn_jax.ops.offset_groups import join, split, taps_first, taps_last
from geoattn_jax.ops.parts import in_parts
from geoattn_jax.ops.placement import reshape, zeros
from geoattn_jax.ops.platforms import Schedule
from geoattn_jax.ops.products import drop_nan, product, sums_batch_last
from geoattn_jax.ops.sizes import Size

# The arrays are those of `taps`. They come in the order that its loop wants, and the first thing done is to
# undo that: XLA then drops both.


def output(
    layout: ConvLayout, schedule: Schedule, arguments: tuple, by_jax: Callable[..., jax.Array]
) -> Float[Array, "b n f o"]:
    """The convolution, Eq. 1b of Shan & Atanasov 2017, for some p0 at a time."""
    images, _, _, matrices = arguments
    like = zeros(_output_shape(layout, images, matrices), images.dtype, beside=images)
    (found,) = native.natively(
        lambda *arguments: [_output(layout, schedule, *arguments)],
        lambda *arguments: [by_jax(*arguments)],
        (jax.typeof(like),),
        *arguments,
    )
    return found


def gradients(
    layout: ConvLayout,
    schedule: Schedule,
    arguments: tuple,
    cotangent: Float[Array, "b n f o"],
    by_jax: Callable[..., tuple],
) -> tuple[jax.Array | None, ...]:
    """The gradients in images, offsets, mask and matrices."""
    leaves, structure = jax.tree.flatten(arguments)
    found = native.natively(
        lambda *arguments: jax.tree.leaves(_gradients(layout, schedule, *arguments)),
        lambda *arguments: jax.tree.leaves(by_jax(*arguments)),
        tuple(jax.typeof(leaf) for leaf in leaves),
        arguments,
        cotangent,
    )
    return jax.tree.unflatten(structure, found)


def _output_shape(layout: ConvLayout, images: jax.Array, matrices: jax.Array) -> tuple[int, ...]:
    _, f, _, o = matrices.shape
    return images.shape[0] // layout.offset_groups, layout.num_outputs, f, o


def _output(layout, schedule, images, offsets, mask, matrices) -> Float[Array, "b n f o"]:
    image, positions, mask = _as_given(layout, images, offsets, mask)
    kernel = _kernel(matrices)

    def add_part(start: Int[Array, ""], size: Size, output: Float[Array, "b n f o"]):
        some_positions, some_mask = _part((positions, mask), start, size)
        columns = native.read(image, some_positions, some_mask, border=False)
        found = product("bnfk,fko->bnfo", _rows(columns, matrices), kernel)
        return lax.dynamic_update_slice_in_dim(output, found, start, axis=1)

    output = zeros(_output_shape(layout, images, matrices), images.dtype, beside=images)
    return _in_parts(add_part, output, image, layout, schedule)


def _gradients(layout, schedule, arguments, cotangent):
    images, offsets, mask, matrices = arguments
    cotangent = drop_nan(cotangent, offsets, layout)
    # Nothing is read there.
    offsets = jnp.where(jnp.isnan(offsets), -jnp.inf, offsets)
    image, positions, given_mask = _as_given(layout, images, offsets, mask)
    b = image.shape[0]
    sums_last = sums_batch_last(matrices, images, b, schedule)
    turned_kernel = jnp.swapaxes(_kernel(matrices), 1, 2)
    to_kernel_terms = "bnfo,bnfk->bfok" if sums_last else "bnfo,bnfk->fok"

    def add_part(start: Int[Array, ""], size: Size, gradients):
        to_image, to_positions, to_mask, to_kernel = gradients
        some_positions, some_mask, some_cotangent = _part((positions, given_mask, cotangent), start, size)
        to_rows = product("bnfo,fok->bnfk", some_cotangent, turned_kernel)
        found = native.transpose(
            image,
            some_positions,
            some_mask,
            _columns(to_rows, matrices),
            to_image,
            border=False,
            with_columns=True,
        )
        assert found.columns is not None  # they were asked for
        part = product(to_kernel_terms, some_cotangent, _rows(found.columns, matrices), to_kernel)
        to_positions, to_mask = jax.tree.map(
            lambda all_of_them, some: lax.dynamic_update_slice_in_dim(all_of_them, some, start, axis=1),
            (to_positions, to_mask),
            (found.positions, found.mask),
        )
        return found.image, to_positions, to_mask, to_kernel + part

    to_kernel = jnp.zeros_like(turned_kernel)
    if sums_last:
        to_kernel = zeros((b, *to_kernel.shape), to_kernel.dtype, beside=images)
    state = (*jax.tree.map(jnp.zeros_like, (image, positions, given_mask)), to_kernel)
    to_image, to_positions, to_mask, to_kernel = _in_parts(add_part, state, image, layout, schedule)
    if sums_last:
        to_kernel = jnp.sum(to_kernel, axis=0)
    return *_as_taken(layout, to_image, to_positions, to_mask), _matrices(to_kernel, matrices)


def _as_given(layout: ConvLayout, images, offsets, mask):
    """The image (b, h, w, c), and where it is read (b, n, g, t, 2), with which weights (b, n, g, t)."""
    groups = layout.offset_groups
    image = join(images, groups)
    # Added in this order, for XLA to see that the transposition undoes one.
    no_offsets = jnp.zeros_like(offsets, shape=offsets.shape[1:])
    positions = taps_last(offsets, groups) + jnp.swapaxes(layout.positions(no_offsets), 0, 1)[:, None]
    image = reshape(image, (*image.shape[:-2], groups * image.shape[-1]))
    return image, positions, None if mask is None else taps_last(mask, groups)[..., 0]


def _as_taken(layout: ConvLayout, image, positions, mask):
    """What `_as_given` gives, or gradients in it, in the order of the arguments."""
    *shape, c = image.shape
    images = split(reshape(image, (*shape, layout.offset_groups, c // layout.offset_groups)))
    return images, taps_first(positions), None if mask is None else taps_first(mask[..., None])


def _part(arrays, start: Int[Array, ""], size: Size):
    """Of arrays (b, n, ...) some of the outputs n."""
    return jax.tree.map(lambda array: lax.dynamic_slice_in_dim(array, start, size, axis=1), arrays)


# A feature group's taps and inputs are one axis of products, k = t * i: XLA would turn columns for two.


def _rows(columns: Float[Array, "b n t c"], matrices: Float[Array, "t f i o"]) -> Float[Array, "b n f k"]:
    b, n, t, _ = columns.shape
    _, f, i, _ = matrices.shape
    return reshape(jnp.swapaxes(reshape(columns, (b, n, t, f, i)), 2, 3), (b, n, f, t * i))


def _columns(rows: Float[Array, "b n f k"], matrices: Float[Array, "t f i o"]) -> Float[Array, "b n t c"]:
    b, n, _, _ = rows.shape
    t, f, i, _ = matrices.shape
    return reshape(jnp.swapaxes(reshape(rows, (b, n, f, t, i)), 2, 3), (b, n, t, f * i))


def _kernel(matrices: Float[Array, "t f i o"]) -> Float[Array, "f k o"]:
    t, f, i, o = matrices.shape
    return jnp.swapaxes(matrices, 0, 1).reshape(f, t * i, o)


def _matrices(to_kernel: Float[Array, "f o k"], matrices: Float[Array, "t f i o"]) -> Float[Array, "t f i o"]:
    t, f, i, o = matrices.shape
    return jnp.transpose(to_kernel.reshape(f, o, t, i), (2, 0, 3, 1))


def _in_parts(add_part, state, image: Float[Array, "b h w c"], layout: ConvLayout, schedule: Schedule):
    b, c = image.shape[0], image.shape[-1]
    return in_parts(
        add_part,
        state,
        length=layout.num_outputs,
        bytes_each=b * layout.taps * c * image.dtype.itemsize,
        part_bytes=schedule.tap_bytes,
    )
