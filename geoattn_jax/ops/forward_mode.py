"""The hint that forward-mode differentiation of the fast operations gets, wherever it is noticed.

A `custom_vjp` function accepts tangents silently; they fail later, when they are computed: under `jit` as it
compiles, under `linearize` in the function it returns, under `vmap` as it maps. So the hint travels with the
tangent: an identity that may be transposed, as reverse mode does, but not computed.
"""

from functools import partial

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_tangent = Primitive("reverse_mode_only")


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def reverse_mode_only(function: str, array: jax.Array) -> jax.Array:
    """The array, an argument of `function`; a TypeError with a hint where its tangent is computed."""
    return array


@reverse_mode_only.defjvp
def _(function, primals, tangents):
    return primals[0], _tangent.bind(tangents[0], function=function)


def _refuse(*_, function: str, **__):
    raise TypeError(
        f"{function}: forward-mode differentiation (jvp, jacfwd, linearize) stops at its own backward pass; "
        f"use reverse mode (grad, vjp, jacrev) or geoattn_jax.ops.reference.{function}, which has both"
    )


_tangent.def_abstract_eval(lambda tangent, *, function: tangent)
_tangent.def_impl(_refuse)
mlir.register_lowering(_tangent, lambda context, tangent, *, function: _refuse(function=function))
batching.primitive_batchers[_tangent] = _refuse
ad.deflinear2(_tangent, lambda cotangent, _, *, function: [cotangent])
