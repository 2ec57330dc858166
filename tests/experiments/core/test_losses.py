"""The cross-entropy is NumPy's, and float32 whatever the logits are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.experiments.core.losses import cross_entropy


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cross_entropy(dtype):
    random = np.random.default_rng(0)
    logits = jnp.asarray(random.normal(size=(5, 3, 40)), dtype)
    labels = random.integers(40, size=(5, 3)).astype(np.int32)
    exact = np.asarray(logits, np.float64)
    probabilities = np.exp(exact) / np.exp(exact).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(probabilities, labels[..., None], -1)).mean()
    loss, accuracy = jax.jit(cross_entropy)(logits, jnp.asarray(labels))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(accuracy, (exact.argmax(-1) == labels).mean())
    (gradient, _) = jax.grad(cross_entropy, has_aux=True)(logits, jnp.asarray(labels))
    assert gradient.dtype == jnp.dtype(dtype)
