"""The fast batch normalization is flax's, on one device and on many."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal, random_variables

from geoattn_jax.layers import BatchNorm

SHAPE = (6, 5, 4, 3)


def variables():
    """Any parameters, and statistics that are possible ones."""
    found = random_variables(BatchNorm(), normal(0, *SHAPE), train=False)
    statistics = found["batch_stats"]
    return {**found, "batch_stats": statistics | {"var": jnp.square(statistics["var"]) + 0.5}}


def trained(module, variables, x, **options):
    return module.apply(variables, x, mutable=["batch_stats"], **options)


def loss_of(apply, weights):
    """A loss whose gradient says everything about the output, and the new statistics beside it."""

    def loss(params, x, statistics):
        out, updated = apply({"params": params, "batch_stats": statistics}, x)
        return jnp.mean(weights * out**2), updated

    return loss


def test_gradient_is_that_of_the_formula(x64):
    x, weights = 3 + normal(0, *SHAPE, dtype="float64"), normal(1, *SHAPE, dtype="float64")
    params = jax.tree.map(lambda leaf: leaf.astype("float64"), variables()["params"])
    statistics = {"mean": jnp.zeros(3), "var": jnp.ones(3)}

    def formula(variables, x):
        mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        scale, bias = variables["params"]["scale"], variables["params"]["bias"]
        updated = {"mean": 0.1 * mean, "var": 0.9 + 0.1 * var}
        return (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias, {"batch_stats": updated}

    found, expected = (
        jax.jit(jax.value_and_grad(loss_of(apply, weights), argnums=(0, 1), has_aux=True))(
            params, x, statistics
        )
        for apply in (partial(trained, BatchNorm(), train=True), formula)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), found, expected)


def test_equals_flax_in_training():
    x, start = 3 + normal(0, *SHAPE), variables()
    found = trained(BatchNorm(), start, x, train=True)
    expected = trained(nn.BatchNorm(momentum=0.9), start, x, use_running_average=False)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


def test_equals_flax_in_evaluation():
    x, start = normal(0, *SHAPE), variables()
    expected = nn.BatchNorm().apply(start, x, use_running_average=True)
    np.testing.assert_allclose(BatchNorm().apply(start, x, train=False), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("devices", [2, 3])
def test_the_devices_shares_are_normalized_as_one_batch(devices):
    x, weights, start = normal(0, *SHAPE), normal(1, *SHAPE), variables()
    step = partial(trained, BatchNorm(), train=True)
    gradient = jax.grad(loss_of(step, weights), argnums=(0, 1), has_aux=True)
    (params, expected_x), expected_statistics = jax.jit(gradient)(start["params"], x, start["batch_stats"])

    def share(x, weights):
        step = partial(trained, BatchNorm(axis_name="devices"), train=True)
        gradient = jax.grad(loss_of(step, weights), argnums=(0, 1), has_aux=True)
        (params, of_x), statistics = gradient(start["params"], x, start["batch_stats"])
        # The loss is the mean of the devices' losses.
        return jax.lax.pmean(params, "devices"), of_x / devices, statistics

    split = [array.reshape(devices, -1, *SHAPE[1:]) for array in (x, weights)]
    found_params, found_x, found_statistics = jax.pmap(
        share, axis_name="devices", out_axes=(None, 0, None), devices=jax.devices()[:devices]
    )(*split)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, found_params, params)
    jax.tree.map(close, found_statistics, expected_statistics)
    close(found_x.reshape(SHAPE), expected_x)


def test_starts_as_flax_does():
    x = normal(0, *SHAPE)
    ours = BatchNorm(axis_name="devices").init(jax.random.key(0), x, train=True)
    jax.tree.map(
        np.testing.assert_array_equal,
        ours,
        nn.BatchNorm(use_running_average=False).init(jax.random.key(0), x),
    )
