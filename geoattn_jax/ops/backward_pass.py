"""Functions with a backward pass of their own that forward mode differentiates, too.

A `custom_vjp` function has no forward mode. Here forward mode is JAX's own, of the function as it is written.
What it computes is linear in the tangents, and one primitive: reverse mode transposes that, and what is
registered as its transpose is the backward pass. So reverse mode keeps the arguments and nothing else, and
runs what `custom_vjp` would run.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_tangent_of = Primitive("tangent_of")


def with_backward_pass(
    forward: Callable[..., jax.Array], backward: Callable[..., Sequence[Any]]
) -> Callable[..., jax.Array]:
    """`forward`, in whose place reverse mode runs `backward`.

    Args:
      forward: `forward(options, *arguments)` gives an array; the arguments are arrays, or None.
      backward: `backward(options, arguments, cotangent)` gives the gradient in each argument, None for None
        and for whole numbers.

    Returns: a function of the same arguments as `forward`, differentiable in both modes to any order.
    """

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def function(options: Hashable, *arguments: jax.Array | None) -> jax.Array:
        return forward(options, *arguments)

    @partial(function.defjvp, symbolic_zeros=True)
    def _(options, arguments, tangents):
        output = function(options, *arguments)
        moving = [place for place, tangent in enumerate(tangents) if _moves(tangent)]

        def tangent_of(arguments, tangents):
            def of_moving(*some):
                placed = dict(zip(moving, some, strict=True))
                return forward(options, *(placed.get(place, one) for place, one in enumerate(arguments)))

            return jax.jvp(of_moving, [arguments[place] for place in moving], list(tangents))[1]

        def gradients(arguments, cotangent):
            found = backward(options, arguments, cotangent)
            return [found[place] for place in moving]

        if not moving:
            return output, jnp.zeros_like(output)
        tangent = _bind(
            tangent_of, gradients, jax.typeof(output), arguments, [tangents[place] for place in moving]
        )
        return output, tangent

    return function


def _moves(tangent: Any) -> bool:
    return tangent is not None and not isinstance(tangent, SymbolicZero)


# The primitive takes the leaves of the arguments, which it is not linear in, and after them the tangents.


def _bind(tangent_of, gradients, output_type, arguments, tangents):
    leaves, structure = jax.tree.flatten(arguments)
    return _tangent_of.bind(
        *leaves,
        *tangents,
        tangent_of=lambda leaves, tangents: tangent_of(jax.tree.unflatten(structure, leaves), tangents),
        gradients=lambda leaves, cotangent: gradients(jax.tree.unflatten(structure, leaves), cotangent),
        output_type=output_type,
        num_leaves=len(leaves),
    )


def _compute(*operands, tangent_of, num_leaves, **_):
    return tangent_of(operands[:num_leaves], operands[num_leaves:])


def _jvp(operands, directions, *, tangent_of, num_leaves, **others):
    """Linear in the tangents; in the arguments it is differentiated as it is written."""
    bind = partial(_tangent_of.bind, tangent_of=tangent_of, num_leaves=num_leaves, **others)
    leaves, tangents = tuple(operands[:num_leaves]), tuple(operands[num_leaves:])
    along = None
    if any(type(direction) is not ad.Zero for direction in directions[num_leaves:]):
        along = bind(*leaves, *map(ad.instantiate_zeros, directions[num_leaves:]))
    moving = [place for place in range(num_leaves) if type(directions[place]) is not ad.Zero]
    if moving:

        def of_moving(*some):
            placed = dict(zip(moving, some, strict=True))
            return tangent_of(tuple(placed.get(place, leaf) for place, leaf in enumerate(leaves)), tangents)

        _, through_leaves = jax.jvp(
            of_moving, [leaves[place] for place in moving], [directions[place] for place in moving]
        )
        along = through_leaves if along is None else along + through_leaves
    return bind(*operands), along


def _transpose(cotangent, *operands, gradients, num_leaves, **_):
    found = gradients(operands[:num_leaves], cotangent)
    wanted = map(ad.is_undefined_primal, operands[num_leaves:])
    return [None] * num_leaves + [
        gradient if is_wanted else None for gradient, is_wanted in zip(found, wanted, strict=True)
    ]


def _map(axis, operands, axes, *, num_leaves, **functions):
    if all(place is None for place in axes):  # JAX asks nevertheless
        return _tangent_of.bind(*operands, num_leaves=num_leaves, **functions), None
    tangent_of, gradients = functions["tangent_of"], functions["gradients"]
    of_leaves, of_tangents = tuple(axes[:num_leaves]), tuple(axes[num_leaves:])
    mapped = partial(jax.vmap, axis_size=axis.size, spmd_axis_name=axis.spmd_name)
    in_order = [0 if place is None else place for place in of_tangents]
    all_gradients = mapped(gradients, in_axes=(of_leaves, 0), out_axes=in_order)

    def of_all(leaves, cotangent):
        return [
            jnp.sum(gradient, axis=0) if place is None else gradient
            for gradient, place in zip(all_gradients(leaves, cotangent), of_tangents, strict=True)
        ]

    tangents_of = mapped(tangent_of, in_axes=(of_leaves, of_tangents))
    leaves, tangents = tuple(operands[:num_leaves]), tuple(operands[num_leaves:])
    (mapped_type,) = jax.make_jaxpr(tangents_of)(leaves, tangents).out_avals
    output = _tangent_of.bind(
        *operands, tangent_of=tangents_of, gradients=of_all, output_type=mapped_type, num_leaves=num_leaves
    )
    return output, 0


_tangent_of.def_impl(_compute)
_tangent_of.def_abstract_eval(lambda *_, output_type, **__: output_type)
mlir.register_lowering(_tangent_of, mlir.lower_fun(_compute, multiple_results=False))
ad.primitive_jvps[_tangent_of] = _jvp
ad.primitive_transposes[_tangent_of] = _transpose
batching.fancy_primitive_batchers[_tangent_of] = _map
