"""Calls of the native kernels, which read images at real-valued positions, and transpose that.

An array is (*b, ...) in what follows, where b are axes of images that have nothing to do with each other:
`jax.vmap` adds one, and devices may divide them. The rest are image (h, w, c), positions (n, g, t, 2) as
(y, x) in pixels, mask (n, g, t) and columns (n, t, c): n outputs, t taps of each, and g groups that divide
the channels evenly. All are float32.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array, Float

from geoattn_jax.native import library


class Gradients(NamedTuple):
    """Of the columns, along a cotangent; and the columns once more, if they were asked for."""

    image: Float[Array, "*b h w c"]
    positions: Float[Array, "*b n g t 2"]
    mask: Float[Array, "*b n g t"] | None
    columns: Float[Array, "*b n t c"] | None


def read(
    image: Float[Array, "*b h w c"],
    positions: Float[Array, "*b n g t 2"],
    mask: Float[Array, "*b n g t"] | None = None,
    *,
    border: bool,
    grid_width: int = 0,
) -> Float[Array, "*b n t c"]:
    """The pixels of images, bilinearly interpolated and weighed by the mask.

    Args:
      image, positions, mask: see above.
      border: whether the nearest pixel is read outside of an image, else zeros.
      grid_width: if positions are offsets from the places of the outputs in a grid, row by row, its width.
    """

    def columns(positions: jax.Array) -> jax.Array:
        one = positions[..., 0, :, :1]
        return jnp.broadcast_to(one, (*one.shape[:-1], image.shape[-1]))

    (like,) = jax.make_jaxpr(columns)(positions).out_avals  # placed as the positions are
    (result,) = _bind(library.READ, (image, positions, mask), (like,), border=border, grid_width=grid_width)
    return result


def transpose(
    image: Float[Array, "*b h w c"],
    positions: Float[Array, "*b n g t 2"],
    mask: Float[Array, "*b n g t"] | None,
    cotangent: Float[Array, "*b n t c"],
    so_far: Float[Array, "*b h w c"] | None = None,
    *,
    border: bool,
    grid_width: int = 0,
    with_columns: bool = False,
) -> Gradients:
    """The gradients of `read`.

    Args:
      image, positions, mask, border, grid_width: as there.
      cotangent: of the columns.
      so_far: what the image's gradient is added to, in its place in memory where XLA can.
      with_columns: whether to return what is read, too, for which the pixels are at hand.
    """
    operands = image, positions, mask, cotangent, so_far
    likes = image, positions, mask, cotangent if with_columns else None
    types = tuple(None if like is None else jax.typeof(like) for like in likes)
    options = {"border": border, "grid_width": grid_width, "with_columns": with_columns}
    return Gradients(*_bind(library.TRANSPOSE, operands, types, **options))


_FUNCTIONS: dict[str, Callable[..., Any]] = {library.READ: read, library.TRANSPOSE: transpose}

# The primitive takes and returns what is there. The kernels take and return an array without elements for
# what is not.
_call = Primitive("native_call")
_call.multiple_results = True


def _bind(target: str, operands: Sequence[Any], types: Sequence[Any], **options: int) -> list:
    results = iter(
        _call.bind(
            *(operand for operand in operands if operand is not None),
            given=tuple(operand is not None for operand in operands),
            target=target,
            types=tuple(types),
            options=tuple(options.items()),
        )
    )
    return [None if type_ is None else next(results) for type_ in types]


def _fill(given: Sequence[bool], values: Sequence[Any], missing: Any = None) -> list:
    rest = iter(values)
    return [next(rest) if is_given else missing for is_given in given]


def _compute(*operands, given, target, options, **_):
    function = jax.jit(lambda *operands: _FUNCTIONS[target](*_fill(given, operands), **dict(options)))
    return jax.tree.leaves(function(*operands))


def _types(*_, types, **__):
    return [type_ for type_ in types if type_ is not None]


def _map(operands, axes, *, given, target, options, **_):
    """Mapped axes are axes of images."""
    (size,) = {operand.shape[axis] for operand, axis in zip(operands, axes, strict=True) if axis is not None}
    moved = [
        jnp.broadcast_to(operand, (size, *operand.shape)) if axis is None else jnp.moveaxis(operand, axis, 0)
        for operand, axis in zip(operands, axes, strict=True)
    ]
    results = jax.tree.leaves(_FUNCTIONS[target](*_fill(given, moved), **dict(options)))
    return results, [0] * len(results)


def _lower(context, *operands, given, target, types, options):
    images = context.avals_in[0].shape[:-3]
    nothing = jax.core.ShapedArray((*images, 0), np.float32)
    avals_in = _fill(given, context.avals_in, nothing)
    avals_out = [nothing if type_ is None else type_ for type_ in types]
    empty = mlir.ir_constant(np.zeros(nothing.shape, np.float32))
    in_place = target == library.TRANSPOSE and given[4]
    rule = jax.ffi.ffi_lowering(
        target,
        operand_output_aliases={4: 0} if in_place else None,
        extra_attributes={
            "mhlo.frontend_attributes": mlir.ir_attribute({"num_batch_dims": str(len(images))}),
            "sdy.sharding_rule": _sharding_rule(len(images), avals_in, avals_out),
        },
    )
    results = rule(
        context.replace(avals_in=avals_in, avals_out=avals_out),
        *_fill(given, operands, empty),
        border=dict(options)["border"],
        grid_width=np.int64(dict(options)["grid_width"]),
    )
    return [result for result, type_ in zip(results, types, strict=True) if type_ is not None]


def _sharding_rule(batch_axes: int, avals_in: Sequence, avals_out: Sequence):
    """Tells XLA's partitioner that the axes of images may be divided, all alike."""
    letters = itertools.chain(
        "ijklmnopqrstuvwxyz", map("z_{}".format, itertools.count(1))
    )  # as it wants them
    sizes = {}

    def name(size: int) -> str:
        letter = next(letters)
        sizes[letter] = size
        return letter

    batch = [name(size) for size in avals_in[0].shape[:batch_axes]]

    def factors(aval) -> str:
        return f"[{', '.join([*batch, *(name(size) for size in aval.shape[batch_axes:])])}]"

    terms = [", ".join(map(factors, avals)) for avals in (avals_in, avals_out)]
    listed = ", ".join(f"{letter}={size}" for letter, size in sizes.items())
    return mlir.ir.Attribute.parse(f"#sdy.op_sharding_rule<({terms[0]})->({terms[1]}) {{{listed}}}, custom>")


_call.def_impl(_compute)
_call.def_abstract_eval(_types)
batching.primitive_batchers[_call] = _map
mlir.register_lowering(_call, _lower, platform="cpu")
