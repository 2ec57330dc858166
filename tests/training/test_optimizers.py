"""Optimizers and schedules by name; Keras's, with its settings of 2017 (2.0.0 to 2.0.8), by its formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from geoattn_jax.training.optimizers import ELEMENTWISE, OPTIMIZERS
from geoattn_jax.training.schedules import SCHEDULES

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
    np.testing.assert_allclose(updates_of(OPTIMIZERS["adadelta"](1.0)), expected, rtol=1e-5)


def test_adadelta_equals_optax_after_many_updates():
    """Its numbers to rounding, and the structure of its state: checkpoints of either are the other's."""
    ours, theirs = OPTIMIZERS["adadelta"](0.5), optax.adadelta(0.5, rho=0.95, eps=1e-8)
    states = [optimizer.init(jnp.zeros(4)) for optimizer in (ours, theirs)]

    def run(optimizer, state):
        return jax.lax.scan(lambda state, g: optimizer.update(g, state, jnp.zeros(4))[::-1], state, gradients)

    gradients = jnp.asarray(np.random.default_rng(2).normal(size=(300, 4)) * [1e-6, 1e-3, 1, 30], "float32")
    results = [run(optimizer, state) for optimizer, state in zip((ours, theirs), states, strict=True)]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), *results)


def test_rmsprop():
    """Epsilon, 1e-8, is outside the root; no bias correction; the accumulator starts at zero."""
    rate, rho, epsilon = 1e-3, 0.9, 1e-8
    squares = np.zeros(4)
    expected = []
    for gradient in GRADIENTS.astype(np.float64):
        squares = rho * squares + (1 - rho) * gradient**2
        expected.append(-rate * gradient / (np.sqrt(squares) + epsilon))
    np.testing.assert_allclose(updates_of(OPTIMIZERS["rmsprop"](rate)), expected, rtol=1e-5)
    # optax's default, epsilon inside, differs where gradients are small.
    assert not np.allclose(updates_of(optax.rmsprop(rate, decay=rho, eps=epsilon)), expected, rtol=1e-2)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_trainings_side_by_side_do_not_meet(name):
    """Each number's update is that of the number alone."""

    def update(gradient):
        optimizer, params = ELEMENTWISE[name](0.1), jnp.ones_like(gradient)
        state = optimizer.init(params)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            for _ in range(2):
                update, state = optimizer.update(gradient, state, params)
        return update

    gradient = jnp.asarray(GRADIENTS[0])
    alone = jnp.concatenate([update(gradient[n : n + 1]) for n in range(len(gradient))])
    np.testing.assert_allclose(update(gradient), alone, rtol=1e-6)


def test_muon_moves_kernels_of_convolutions_only_if_told():
    """A kernel with few singular values that matter is moved along all of them, or number by number."""
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 4, 6)).astype(np.float32))

    def singular_values(name):
        optimizer = OPTIMIZERS[name](1.0)
        params = {"kernel": jnp.zeros_like(kernel)}
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            update, _ = optimizer.update({"kernel": kernel}, optimizer.init(params), params)
        return np.linalg.svd(np.asarray(update["kernel"]).reshape(-1, 6), compute_uv=False)

    told, untold = singular_values("muon_convolutions"), singular_values("muon")
    assert told.max() / told.min() < 2
    of_signs = np.linalg.svd(np.sign(kernel).reshape(-1, 6), compute_uv=False)
    np.testing.assert_allclose(untold / untold[0], of_signs / of_signs[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", {0: 2.0, 39: 2.0}),
        ("cosine", {0: 0.0, 2: 1.0, 4: 2.0, 22: 1.0, 40: 0.0}),
        ("step", {0: 0.0, 2: 1.0, 4: 2.0, 19: 2.0, 21: 0.2, 29: 0.2, 31: 0.02, 39: 0.02}),
    ],
)
def test_schedules(name, expected):
    rate = SCHEDULES[name](2.0, 40, 4)
    found = {step: rate(step) if callable(rate) else rate for step in expected}
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("updates", [1, 2, 7])
def test_short_phases_have_finite_rates(name, updates):
    rate = SCHEDULES[name](2.0, updates, min(1, updates // 10))
    found = [rate(step) if callable(rate) else rate for step in range(updates)]
    assert np.isfinite(found).all()
    assert max(found) <= 2.0
