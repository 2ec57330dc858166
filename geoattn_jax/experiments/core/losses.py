"""The loss that all experiments have in common."""

import optax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.precision import widen


def cross_entropy(
    logits: Float[Array, "*b classes"], labels: Int[Array, " *b"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean cross-entropy, and the accuracy; in float32 at least, in whatever dtype the logits are.

    Args:
      logits: of the classes.
      labels: the right ones.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(widen(logits), labels)
    return losses.mean(), (logits.argmax(-1) == labels).mean()
