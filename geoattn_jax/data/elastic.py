"""Elastic deformation: random, smooth displacement fields (Simard et al. 2003)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


def elastic_field(
    key: PRNGKeyArray, hw: tuple[int, int], *, smoothing: float, displacement: float
) -> Float[Array, "h w 2"]:
    """A random displacement field: uniform noise for each pixel and axis, smoothed by a Gaussian.

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
    rows, columns = (_gaussian_band(size, smoothing) for size in hw)
    # Of standard deviation 1, which bands of unit energy keep.
    noise = jax.random.uniform(key, (2, rows.shape[1], columns.shape[1]), minval=-(3**0.5), maxval=3**0.5)
    smooth = jnp.einsum("yi,aij,xj->yxa", rows, noise, columns, precision="highest")
    return displacement * smooth


def _gaussian_band(size: int, sigma: float) -> Float[np.ndarray, "size padded"]:
    """The matrix that smooths a row of noise, longer than `size` by the Gaussian's reach at both ends."""
    reach = int(np.ceil(3 * sigma))
    gaussian = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    gaussian /= np.linalg.norm(gaussian)
    band = np.zeros((size, size + 2 * reach), np.float32)
    for row in range(size):
        band[row, row : row + len(gaussian)] = gaussian
    return band
