"""The hint that forward-mode differentiation of the fast operations gets, wherever it is noticed.

A `custom_vjp` function accepts tangents silently; they fail later, when they are computed: under `jit` as it
compiles, under `linearize` in the function it returns, under `vmap` as it maps. So the hint travels with the
tangent: an identity that may be transposed, as reverse mode does, but not computed.
"""

from functools import partial
from typing import TypeVar

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_tangent = Primitive("reverse_mode_only")


Arrays = TypeVar("Arrays")


def reverse_mode_only(function: str, arrays: Arrays, *, instead: str | None = None) -> Arrays:
    """The arrays, arguments of `function`; their tangents raise a TypeError where they are computed.

    Args:
      function: which has a backward pass of its own.
      arrays: what it is differentiated in.
      instead: what to use for forward mode; None for the function of that name in `reference`.
    """
    hint = (
        f"{function}: forward-mode differentiation (jvp, jacfwd, linearize) stops at its own backward pass; "
        f"use reverse mode (grad, vjp, jacrev) or {instead or f'geoattn_jax.ops.reference.{function}'}, "
        f"which has both"
    )
    return jax.tree.map(partial(_identity, hint), arrays)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _identity(hint: str, array: jax.Array) -> jax.Array:
    return array


@_identity.defjvp
def _(hint, primals, tangents):
    return primals[0], _tangent.bind(tangents[0], hint=hint)


def _refuse(*_, hint: str):
    raise TypeError(hint)


_tangent.def_abstract_eval(lambda tangent, *, hint: tangent)
_tangent.def_impl(_refuse)
mlir.register_lowering(_tangent, _refuse)
batching.primitive_batchers[_tangent] = _refuse
ad.deflinear2(_tangent, lambda cotangent, _, *, hint: [cotangent])
