"""The small stand-ins: sizes, the form of the VGG networks, dropout in training only."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal, random_variables

from geoattn_jax.models.small import LARGE, MEDIUM, SMALL, SMALL_WIDE

KEY = jax.random.key(0)
CONVOLUTIONS = {
    SMALL: [(3, 16), (16, 32), (32, 32)],
    SMALL_WIDE: [(3, 16), (16, 32), (32, 64)],
    MEDIUM: [(3, 24), (24, 48), (48, 48), (48, 64)],
    LARGE: [(3, 32), (32, 32), (32, 64), (64, 64), (64, 96), (96, 96)],
}


@pytest.mark.parametrize(("network", "units"), [(SMALL, 128), (SMALL_WIDE, 128), (MEDIUM, 256), (LARGE, 512)])
def test_sizes_without_classes(network, units):
    localizer, images = network(None), jnp.zeros((2, 32, 32, 3))
    variables = jax.eval_shape(partial(localizer.init, train=False), KEY, images)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables))
    convolutions = sum(9 * inputs * outputs + outputs for inputs, outputs in CONVOLUTIONS[network])
    last = CONVOLUTIONS[network][-1][1]
    assert parameters == convolutions + (4 * 4 * last + 1) * units
    assert jax.eval_shape(partial(localizer.apply, train=False), variables, images).shape == (2, units)


def test_logits_are_a_linear_layer_on_the_features():
    images = normal(0, 2, 16, 24, 5)
    model = SMALL_WIDE(7)
    variables = random_variables(model, images, train=False)
    features = model.apply(variables, images, method="features")
    layer = variables["params"]["fc7"]
    assert features.shape == (2, 128)
    assert np.all(features >= 0)
    expected = features @ layer["kernel"] + layer["bias"]
    np.testing.assert_allclose(model.apply(variables, images, train=False), expected, rtol=1e-5)


def test_training_drops_features():
    images = normal(0, 4, 16, 16, 3)
    model = SMALL(None, dropout_rate=0.5)
    variables = random_variables(model, images, train=False)
    whole = np.asarray(model.apply(variables, images, train=False))
    dropped = np.asarray(model.apply(variables, images, train=True, rngs={"dropout": KEY}))
    np.testing.assert_allclose(dropped[dropped != 0], 2 * whole[dropped != 0], rtol=1e-6)
    assert 0.3 < (dropped[whole > 0] == 0).mean() < 0.7
