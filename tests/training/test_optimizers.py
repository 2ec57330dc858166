"""optax's optimizers with the settings of Keras in 2017 (2.0.0 to 2.0.8), against Keras's formulas."""

import jax.numpy as jnp
import numpy as np
import optax

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32) * np.float32([1e-6, 1e-3, 1, 30])


def updates_of(optimizer):
    params = jnp.zeros(4)
    state = optimizer.init(params)
    with_each = []
    for gradient in GRADIENTS:
        update, state = optimizer.update(jnp.asarray(gradient), state, params)
        with_each.append(np.asarray(update))
    return np.stack(with_each)


def test_adadelta():
    """Both roots contain epsilon, 1e-8; the accumulated updates are those before the learning rate."""
    rho, epsilon = 0.95, 1e-8
    squares = deltas = np.zeros(4)
    expected = []
    for gradient in GRADIENTS.astype(np.float64):
        squares = rho * squares + (1 - rho) * gradient**2
        update = gradient * np.sqrt(deltas + epsilon) / np.sqrt(squares + epsilon)
        deltas = rho * deltas + (1 - rho) * update**2
        expected.append(-update)
    np.testing.assert_allclose(updates_of(optax.adadelta(1.0, rho=rho, eps=epsilon)), expected, rtol=1e-5)


def test_rmsprop():
    """Epsilon, 1e-8, is outside the root; no bias correction; the accumulator starts at zero."""
    rate, rho, epsilon = 1e-3, 0.9, 1e-8
    squares = np.zeros(4)
    expected = []
    for gradient in GRADIENTS.astype(np.float64):
        squares = rho * squares + (1 - rho) * gradient**2
        expected.append(-rate * gradient / (np.sqrt(squares) + epsilon))
    keras = optax.rmsprop(rate, decay=rho, eps=epsilon, eps_in_sqrt=False)
    np.testing.assert_allclose(updates_of(keras), expected, rtol=1e-5)
    # optax's default, epsilon inside, differs where gradients are small.
    assert not np.allclose(updates_of(optax.rmsprop(rate, decay=rho, eps=epsilon)), expected, rtol=1e-2)
