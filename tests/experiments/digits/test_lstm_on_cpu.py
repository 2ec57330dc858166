"""The rounds' LSTM on a CPU equals the layer that it stands for, with its gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from variables import normal, random_variables

from geoattn_jax import VideoLSTM
from geoattn_jax.experiments.digits.lstm_on_cpu import project_chosen, recur

SEQUENCES, FRAMES, FEATURES, UNITS = 6, 4, 7, 2
ORDERS = jnp.array(
    [[4, 0, 5], [1, 2, 3], [5, 4, 1], [2, 2, 0]]
)  # a round's own; one may see a sequence twice
every_gate = pytest.mark.parametrize("gates", ["sigmoid", "hard_sigmoid"])


def layer(gates):
    return VideoLSTM(UNITS, param_dtype="float64", gate_activation=gates)


def arguments():
    """Features for all rounds, and the parameters of each."""
    features = normal(0, SEQUENCES, FRAMES, FEATURES, dtype="float64")
    rounds = [random_variables(layer("sigmoid"), features, seed=10 * n)["params"] for n in range(len(ORDERS))]
    return features, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rounds)


def by_layer(gates, params, features, order):
    return layer(gates).apply({"params": params}, features[order])


def on_cpu(gates, params, features, order):
    projected = project_chosen(features, order, **params["input"])
    return recur(gates, projected, params["recurrent"]["kernel"])


@every_gate
def test_rounds_equal_the_layer_with_its_gradients(x64, compiled_quickly, gates):
    features, params = arguments()

    def outputs_and_gradients(function):
        rounds = jax.vmap(partial(function, gates), in_axes=(0, None, 0))
        outputs, vjp = jax.vjp(lambda params: rounds(params, features, ORDERS), params)
        return outputs, vjp(jnp.cos(outputs))

    ours, expected = jax.jit(lambda: tuple(map(outputs_and_gradients, (on_cpu, by_layer))))()
    assert ours[0].shape == (*ORDERS.shape, FRAMES, UNITS)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13), *(ours, expected)
    )


@every_gate
def test_gradients_are_those_of_small_differences(x64, compiled_quickly, gates):
    features, params = arguments()
    of_one = jax.tree.map(lambda leaf: leaf[0], params)
    of_params = jax.jit(lambda params: on_cpu(gates, params, features, ORDERS[0]))
    check_grads(of_params, (of_one,), order=1, modes=["rev"])
    projected = normal(1, 3, FRAMES, 4 * UNITS, dtype="float64")
    check_grads(
        jax.jit(partial(recur, gates)), (projected, of_one["recurrent"]["kernel"]), order=1, modes=["rev"]
    )
