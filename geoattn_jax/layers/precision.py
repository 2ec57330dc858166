"""What is computed in float32 at least, whatever the dtype of the activations."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def wide_dtype(activations: DTypeLike) -> np.dtype:
    """The dtype of what is not rounded as activations of a dtype are: float32 at least.

    Of thetas and offsets: a bfloat16 has 8 significant bits and beyond pixel 128 cannot even hold a position
    between two pixels. Of what is added up over many numbers, losses and statistics, too.
    """
    return np.dtype(jnp.float64 if activations == jnp.float64 else jnp.float32)


def normalize(
    norm: Callable[..., Array], activations: Float[Array, "b h w c"], *, train: bool
) -> Float[Array, "b h w c"]:
    """Batch normalization in float32 at least; the result in the activations' dtype.

    Args:
      norm: a `flax.linen.BatchNorm`. Given bfloat16 it would mix dtypes, which strict promotion refuses.
      activations: of the layer before.
      train: whether to normalize by the batch's own statistics.
    """
    wide = activations.astype(wide_dtype(activations.dtype))
    return norm(wide, use_running_average=not train).astype(activations.dtype)
