"""Dropout, also of a batch that Explicit axes of a mesh divide."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.placement import divided_alike


class Dropout(nn.Module):
    """Zeros a share of the inputs, and scales up the others to the same mean; random numbers "dropout".

    Drops what `flax.linen.Dropout` drops for the same key, which does not take a divided batch (flax 0.12).

    Attributes:
      rate: the share that is dropped, below 1.
    """

    rate: float

    @nn.compact
    def __call__(self, inputs: Float[Array, " b *s"], *, deterministic: bool) -> Float[Array, " b *s"]:
        """The inputs, some of them dropped unless `deterministic`."""
        if deterministic or self.rate == 0:
            return inputs
        kept = 1 - self.rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), kept, inputs.shape)
        mask, inputs = divided_alike((mask, inputs))
        return jnp.where(mask, inputs / kept, 0)
