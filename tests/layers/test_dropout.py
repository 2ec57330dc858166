"""Dropout: what flax's drops for the same key."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal

from geoattn_jax.layers import Dropout


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_equals_flax(dtype):
    inputs, keys = normal(0, 7, 5).astype(dtype), {"dropout": jax.random.key(3)}
    ours = Dropout(0.3).apply({}, inputs, deterministic=False, rngs=keys)
    assert ours.dtype == dtype
    assert 0 < jnp.count_nonzero(ours == 0) < ours.size
    np.testing.assert_array_equal(ours, nn.Dropout(0.3).apply({}, inputs, deterministic=False, rngs=keys))


def test_drops_nothing_if_deterministic_or_at_a_rate_of_zero():
    inputs = normal(0, 7, 5)
    np.testing.assert_array_equal(Dropout(0.3).apply({}, inputs, deterministic=True), inputs)
    np.testing.assert_array_equal(Dropout(0.0).apply({}, inputs, deterministic=False), inputs)
