"""Elastic fields: the size and the smoothness that were asked for, everywhere."""

import jax
import numpy as np
import pytest

from geoattn_jax.data.elastic import elastic_field


@pytest.fixture(scope="module")
def fields():
    def draw(key):
        return elastic_field(key, (21, 34), smoothing=3.0, displacement=1.7)

    return np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 4000)))


def test_the_displacement_has_the_stated_size_everywhere(fields):
    assert fields.shape == (4000, 21, 34, 2)
    np.testing.assert_allclose(fields.std(axis=0), 1.7, rtol=0.06)
    np.testing.assert_allclose(fields.mean(axis=0), 0, atol=0.12)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("distance", [1, 3, 6])
def test_neighbours_move_together_as_smoothed_noise_does(fields, axis, distance):
    length = fields.shape[axis]
    near = np.take(fields, range(length - distance), axis)
    far = np.take(fields, range(distance, length), axis)
    # White noise smoothed by a Gaussian has a Gaussian autocovariance, sqrt(2) as wide.
    expected = np.exp(-(distance**2) / (4 * 3.0**2))
    assert (near * far).mean() / 1.7**2 == pytest.approx(expected, abs=0.02)


def test_y_and_x_are_independent(fields):
    assert np.corrcoef(fields[..., 0].ravel(), fields[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.02)
