"""The loss that all experiments have in common, and means over examples that may have weights."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

from geoattn_jax.ops.precision import widen

Weights = Float[Array, " b"] | None  # of examples, see `Phase.weighted`


def cross_entropy(
    logits: Float[Array, "*b classes"], labels: Int[Array, " *b"], weights: Weights = None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean cross-entropy, and the accuracy; in float32 at least, in whatever dtype the logits are.

    Args:
      logits: of the classes.
      labels: the right ones.
      weights: of the examples; None where all count alike.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(widen(logits), labels)
    return mean(losses, weights), mean(logits.argmax(-1) == labels, weights)


def mean(values: Shaped[Array, "b ..."], weights: Weights) -> Float[Array, ""]:
    """Over all examples, and all that each of them has."""
    if weights is None:
        return values.mean()
    of_examples = values.reshape(len(values), -1).mean(axis=1)
    weights = weights.astype(of_examples.dtype)
    return (weights * of_examples).sum() / weights.sum()


def mean_of_known(values: Float[Array, " b"], weights: Weights) -> Float[Array, ""]:
    """Over those examples whose value is not NaN; NaN where there is none."""
    if weights is None:
        return jnp.nanmean(values)
    known = jnp.where(jnp.isnan(values), 0, weights)
    return (known * jnp.nan_to_num(values)).sum() / known.sum()
