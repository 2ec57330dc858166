"""The precision that the operations compute in."""

import jax
import jax.numpy as jnp


def wide_dtype(*arrays: jax.Array) -> jnp.dtype:
    """The dtype for arithmetic on the arrays: the widest of theirs, and at least float32."""
    return max((jnp.dtype(jnp.float32), *(array.dtype for array in arrays)), key=lambda dtype: dtype.itemsize)


def widen(array: jax.Array) -> jax.Array:
    """The array in float32 or wider."""
    return array.astype(wide_dtype(array))
