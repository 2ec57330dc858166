"""Small problems for the training tests: a linear trunk and head, with dropout and running statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from geoattn_jax.training import Phase

FEATURES, HIDDEN, CLASSES, BATCH = 5, 7, 3, 16


def initial_params():
    keys = jax.random.split(jax.random.key(3), 2)
    return {
        "trunk": {"kernel": 0.5 * jax.random.normal(keys[0], (FEATURES, HIDDEN)), "bias": jnp.zeros(HIDDEN)},
        "head": {"kernel": 0.5 * jax.random.normal(keys[1], (HIDDEN, CLASSES))},
    }


def initial_model_state():
    return {"mean": jnp.zeros(HIDDEN), "count": jnp.zeros((), jnp.int32)}


def host_batch(seed, step):
    """Made by NumPy on the host."""
    rng = np.random.default_rng((seed, step))
    return {
        "x": rng.normal(size=(BATCH, FEATURES)).astype(np.float32),
        "y": rng.normal(size=(BATCH, CLASSES)).astype(np.float32),
    }


@jax.jit
def rendered_batch(seed, step):
    """Made by a compiled program."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step))
    x, y = jax.random.normal(keys[0], (BATCH, FEATURES)), jax.random.normal(keys[1], (BATCH, CLASSES))
    return {"x": x, "y": y}


def loss(params, model_state, batch, key):
    """Regression through a running mean; draws no random numbers."""
    del key
    hidden = jnp.tanh(batch["x"] @ params["trunk"]["kernel"] + params["trunk"]["bias"])
    mean = 0.9 * model_state["mean"] + 0.1 * hidden.mean(0)
    error = (hidden - jax.lax.stop_gradient(mean)) @ params["head"]["kernel"] - batch["y"]
    value = jnp.mean(error**2)
    return value, ({"mean": mean, "count": model_state["count"] + 1}, {"mae": jnp.mean(jnp.abs(error))})


def noisy_loss(params, model_state, batch, key):
    """`loss` with dropout on the inputs."""
    keep = jax.random.bernoulli(key, 0.7, batch["x"].shape).astype(jnp.float32)
    return loss(params, model_state, {**batch, "x": batch["x"] * keep}, key)


def phases():
    """Pretraining of the trunk, then of the head on rendered batches, then both jointly at their own rates."""
    return [
        Phase("trunk", 7, host_batch, loss, {"trunk": optax.adam(1e-2)}),
        Phase("head", 5, rendered_batch, noisy_loss, {"head": optax.sgd(1e-2, momentum=0.9)}),
        Phase("joint", 6, host_batch, noisy_loss, {"trunk": optax.adam(1e-3), "head": optax.adam(1e-2)}),
    ]
