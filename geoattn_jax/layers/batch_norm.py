"""Batch normalization beside activations of any dtype."""

from collections.abc import Callable

from jaxtyping import Array, Float

from geoattn_jax.ops.precision import widen


def normalize(
    norm: Callable[..., Array], activations: Float[Array, "b h w c"], *, train: bool
) -> Float[Array, "b h w c"]:
    """Batch normalization in float32 at least; the result in the activations' dtype.

    Args:
      norm: a `flax.linen.BatchNorm`. Given bfloat16 it would mix dtypes, which strict promotion refuses.
      activations: of the layer before.
      train: whether to normalize by the batch's own statistics.
    """
    return norm(widen(activations), use_running_average=not train).astype(activations.dtype)
