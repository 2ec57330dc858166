"""Programs that hold native kernels, or compute the same by JAX.

A program that is exported must run where the kernels are not, and a derivative needs a rule: both are of what
JAX would compute.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

_choice = Primitive("natively_or_by_jax")
_choice.multiple_results = True


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def natively(
    compute: Callable[..., Sequence[jax.Array]],
    by_jax: Callable[..., Sequence[jax.Array]],
    types: tuple[Any, ...],
    *arguments: Any,
) -> tuple[jax.Array, ...]:
    """`compute(*arguments)` on a CPU; `by_jax(*arguments)` in exported programs, and for derivatives.

    Args:
      compute: gives some arrays, natively.
      by_jax: gives the same, to rounding.
      types: of these arrays, `jax.typeof` of something like them.
      *arguments: arrays, or trees of them.
    """
    leaves, structure = jax.tree.flatten(arguments)

    def of_leaves(function: Callable) -> Callable:
        return lambda *leaves: tuple(function(*jax.tree.unflatten(structure, leaves)))

    return tuple(_choice.bind(*leaves, compute=of_leaves(compute), by_jax=of_leaves(by_jax), types=types))


@natively.defjvp
def _jvp(compute, by_jax, types, arguments, tangents):
    _, directions = jax.jvp(lambda *arguments: tuple(by_jax(*arguments)), arguments, tangents)
    return natively(compute, by_jax, types, *arguments), directions


def _map(axis, operands, axes, *, compute, by_jax, types):
    if all(place is None for place in axes):  # JAX asks nevertheless
        return _choice.bind(*operands, compute=compute, by_jax=by_jax, types=types), [None] * len(types)
    mapped = partial(jax.vmap, in_axes=tuple(axes), axis_size=axis.size, spmd_axis_name=axis.spmd_name)
    types = tuple(jax.make_jaxpr(mapped(by_jax))(*operands).out_avals)
    results = _choice.bind(*operands, compute=mapped(compute), by_jax=mapped(by_jax), types=types)
    return results, [0] * len(results)


def _lower(context, *operands, compute, by_jax, types):
    exported = context.module_context.lowering_parameters.for_export
    return mlir.lower_fun(by_jax if exported else compute, multiple_results=True)(context, *operands)


_choice.def_impl(lambda *operands, compute, **_: compute(*operands))  # on a CPU: elsewhere nobody asks
_choice.def_abstract_eval(lambda *_, types, **__: list(types))
batching.fancy_primitive_batchers[_choice] = _map
mlir.register_lowering(_choice, _lower, platform="cpu")
mlir.register_lowering(
    _choice, mlir.lower_fun(lambda *operands, by_jax, **_: by_jax(*operands), multiple_results=True)
)
