"""Compares the operations by native kernels with those by JAX, for the instructions in GEOATTN_JAX_NATIVE."""

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax import bilinear_sample, deform_conv2d, offset_resample
from geoattn_jax.native import by_jax_alone, kernels

random = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(random.normal(size=shape), jnp.float32)


CASES = [(offset_resample, normal(2, 5, 6, 3), normal(2, 5, 6, 3, 2))]
for channels in (3, 30):  # vectors of all lengths
    image, positions = normal(2, 5, 6, channels), 3 + 2 * normal(2, 70, 2)
    CASES.append((bilinear_sample, image, positions))
    CASES.append((deform_conv2d, image, normal(2, 5, 6, 1, 9, 2), normal(3, 3, channels, 2)))


def computed() -> list:
    """By programs of their own: JAX's caches know nothing of the kernels."""

    def values_and_gradients(function, *arguments):
        output, pull_back = jax.vjp(function, *arguments)
        return output, pull_back(jnp.cos(output))

    return [
        jax.jit(lambda *arguments, function=function: values_and_gradients(function, *arguments))(*arguments)
        for function, *arguments in CASES
    ]


print(kernels())
by_kernels = computed()
with by_jax_alone():
    by_jax = computed()
for one, other in zip(jax.tree.leaves(by_kernels), jax.tree.leaves(by_jax), strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
