"""The hint that forward-mode differentiation of the fast operations gets, wherever it is noticed.

A `custom_vjp` function accepts tangents silently; they fail later, when they are computed: under `jit` as it
compiles, under `linearize` in the function it returns, under `vmap` as it maps. So the hint goes with the
tangent: an identity that may be transposed, as reverse mode does, but not computed or mapped. That of the
values is a primitive, too: `vmap` maps it before it has a tangent, unlike a `custom_jvp` function.
"""

from functools import partial
from typing import TypeVar

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_value = Primitive("reverse_mode_only")
_tangent = Primitive("reverse_mode_only_tangent")


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
    return jax.tree.map(partial(_value.bind, hint=hint), arrays)


def _jvp(primals, tangents, *, hint: str):
    (value,), (tangent,) = primals, tangents
    if type(tangent) is not ad.Zero:
        tangent = _tangent.bind(tangent, hint=hint)
    return value, tangent  # the value as it is: a gradient may be differentiated in forward mode


def _refuse(*_, hint: str):
    raise TypeError(hint)


_value.def_impl(lambda value, *, hint: value)
_value.def_abstract_eval(lambda value, *, hint: value)
mlir.register_lowering(_value, lambda _, value, *, hint: [value])
batching.defvectorized(_value)
ad.primitive_jvps[_value] = _jvp

_tangent.def_impl(_refuse)
_tangent.def_abstract_eval(lambda tangent, *, hint: tangent)
mlir.register_lowering(_tangent, _refuse)
batching.primitive_batchers[_tangent] = _refuse
ad.deflinear2(_tangent, lambda cotangent, _, *, hint: [cotangent])
