"""The max-pools: equal to flax's, on sizes that the window does not divide too."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal

from geoattn_jax.layers import max_pool, overlapping_max_pool


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.parametrize("hw", [(12, 24), (5, 7)])
def test_equals_flax_with_its_gradient(window, hw):
    image = normal(0, 3, *hw, 2)

    def flax_pool(image):
        return nn.max_pool(image, (window, window), strides=(window, window))

    output, vjp = jax.vjp(jax.jit(partial(max_pool, window=window)), image)
    expected, expected_vjp = jax.vjp(jax.jit(flax_pool), image)
    np.testing.assert_array_equal(output, expected)
    grad_output = normal(1, *output.shape)
    np.testing.assert_array_equal(vjp(grad_output)[0], expected_vjp(grad_output)[0])


@pytest.mark.parametrize("pad_end", [0, 1])
@pytest.mark.parametrize("hw", [(7, 4), (8, 3), (3, 9)])
def test_overlapping_blocks_equal_flax_with_their_gradient(hw, pad_end):
    image = normal(0, 3, *hw, 2) - 5  # below the zeros that a wrong padding would add

    def flax_pool(image):
        return nn.max_pool(image, (3, 3), strides=(2, 2), padding=((0, pad_end), (0, pad_end)))

    output, vjp = jax.vjp(jax.jit(partial(overlapping_max_pool, pad_end=pad_end)), image)
    expected, expected_vjp = jax.vjp(jax.jit(flax_pool), image)
    np.testing.assert_array_equal(output, expected)
    grad_output = normal(1, *output.shape)
    np.testing.assert_allclose(vjp(grad_output)[0], expected_vjp(grad_output)[0], rtol=1e-6, atol=1e-6)


def test_equal_maxima_share_the_gradient():
    gradient = jax.grad(lambda image: jnp.sum(max_pool(image)))(jnp.ones((1, 2, 3, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[0.25, 0.25, 0], [0.25, 0.25, 0]])


def test_an_image_smaller_than_a_block_is_named():
    with pytest.raises(ValueError, match="image must be at least 4 x 4 pixels"):
        max_pool(jnp.zeros((2, 3, 9, 1)), 4)
    with pytest.raises(ValueError, match="image must be at least 3 x 3 pixels"):
        overlapping_max_pool(jnp.zeros((2, 1, 9, 1)), pad_end=1)
