"""The precision in which positions are computed."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def position_dtype(activations: DTypeLike) -> np.dtype:
    """The dtype of thetas and offsets beside activations of a dtype: float32 at least.

    A bfloat16 has 8 significant bits: beyond pixel 128 it cannot even hold a position between two pixels.
    """
    return np.dtype(jnp.float64 if activations == jnp.float64 else jnp.float32)
