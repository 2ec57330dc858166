"""What is computed in float32 at least, whatever the dtype of the images or activations."""

import jax
import jax.numpy as jnp


def wide_dtype(*arrays: jax.Array) -> jnp.dtype:
    """The dtype for arithmetic on the arrays: the widest of theirs, and at least float32.

    Of positions, thetas and offsets, as a bfloat16 has 8 significant bits and beyond pixel 128 cannot even
    hold one between two pixels; and of what is added up over many numbers: losses, statistics, gradients.
    """
    return max((jnp.dtype(jnp.float32), *(array.dtype for array in arrays)), key=lambda dtype: dtype.itemsize)


def widen(array: jax.Array) -> jax.Array:
    """The array in float32 or wider."""
    return array.astype(wide_dtype(array))
