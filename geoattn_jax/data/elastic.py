"""Elastic deformation: random, smooth displacement fields (Simard et al. 2003)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


def elastic_field(
    key: PRNGKeyArray, hw: tuple[int, int], *, smoothing: float, displacement: float
) -> Float[Array, "h w 2"]:
    """A random displacement field: uniform noise, separate for y and x, smoothed by a Gaussian.

    Simard et al. 2003, section 2, whose alpha = 34 and sigma = 4 pixels for MNIST are `smoothing=4` and
    `displacement=1.38`. The field's statistics are the same everywhere, edges included.

    Convention: the last axis is (dy, dx), pixels; a deformed image reads its source at `position + field`.

    Args:
      key: a random key.
      hw: height and width, pixels.
      smoothing: standard deviation of the Gaussian, pixels.
      displacement: standard deviation of each component of the field, pixels.

    Returns: the field, float32.
    """
    rows, columns = (_smoothing_matrix(size, smoothing) for size in hw)
    shape = (2, rows.shape[1], columns.shape[1])
    # Of standard deviation 1, which the smoothing keeps; drawn in a row, which compiles faster.
    noise = jax.random.uniform(key, (math.prod(shape),), minval=-(3**0.5), maxval=3**0.5).reshape(shape)
    return jnp.einsum("yi,aij,xj->yxa", displacement * rows, noise, columns, precision="highest")


def _smoothing_matrix(size: int, sigma: float) -> Float[np.ndarray, "size nodes"]:
    """Gaussian weights from noise at every `sigma` pixels to a row of pixels, each pixel's of unit energy.

    Noise at every pixel would give the same random field, but for 1e-4 of its covariance, and take many
    times as many random numbers.
    """
    reach = 4 * sigma
    nodes = np.arange(-reach, size - 1 + reach + sigma, sigma)
    weights = np.exp(-0.5 * ((np.arange(size)[:, None] - nodes) / sigma) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
