"""A small problem for the training tests: a trunk with running statistics, a head, two kinds of batches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from geoattn_jax.training import Phase

FEATURES, HIDDEN, CLASSES, BATCH = 5, 7, 3, 16


def initial_params():
    trunk, head = jax.random.split(jax.random.key(3))
    return {
        "trunk": {"kernel": 0.5 * jax.random.normal(trunk, (FEATURES, HIDDEN)), "bias": jnp.zeros(HIDDEN)},
        "head": {"kernel": 0.5 * jax.random.normal(head, (HIDDEN, CLASSES))},
    }


def initial_model_state():
    return {"mean": jnp.zeros(HIDDEN), "count": jnp.zeros((), jnp.int32)}


def host_batch(seed, step):
    """Made by NumPy on the host."""
    rng = np.random.default_rng((seed, step))
    x, y = rng.normal(size=(BATCH, FEATURES)), rng.normal(size=(BATCH, CLASSES))
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


@jax.jit
def rendered_batch(seed, step):
    """Made by a compiled program."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step))
    x, y = jax.random.normal(keys[0], (BATCH, FEATURES)), jax.random.normal(keys[1], (BATCH, CLASSES))
    return {"x": x, "y": y}


def loss(params, model_state, batch, key, *, axis_name=None):
    """Regression, after subtracting the mean over the batch; draws no random numbers."""
    del key
    hidden = jnp.tanh(batch["x"] @ params["trunk"]["kernel"] + params["trunk"]["bias"])
    mean = hidden.mean(0)
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    error = (hidden - mean) @ params["head"]["kernel"] - batch["y"]
    new_state = {"mean": 0.9 * model_state["mean"] + 0.1 * mean, "count": model_state["count"] + 1}
    return jnp.mean(error**2), (new_state, {"mae": jnp.mean(jnp.abs(error))})


def noisy_loss(params, model_state, batch, key):
    """`loss` with dropout on the inputs."""
    keep = jax.random.bernoulli(key, 0.7, batch["x"].shape).astype(jnp.float32)
    return loss(params, model_state, {**batch, "x": batch["x"] * keep}, key)


def phases():
    """First the trunk, then the head on rendered batches, then both, each at its own rate."""
    joint = {"trunk": optax.adam(1e-3), "head": optax.adam(1e-2)}
    return [
        Phase("trunk", 7, host_batch, loss, {"trunk": optax.adam(1e-2)}),
        Phase("head", 5, rendered_batch, noisy_loss, {"head": optax.sgd(1e-2, momentum=0.9)}),
        Phase("joint", 6, host_batch, noisy_loss, joint),
    ]


def assert_trained_equal(actual, expected):
    """The same number of steps and, to the bit, the same parameters and model state."""
    assert actual.step == expected.step
    assert_trees_equal((actual.params, actual.model_state), (expected.params, expected.model_state))


def assert_trees_equal(actual, expected):
    """Equal to the bit, in structure, dtypes and values."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, one), other in zip(
        jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        name = jax.tree_util.keystr(path)
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=name)


def assert_trees_close(actual, expected, *, rtol=2e-5, atol=1e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, one), other in zip(
        jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path))
