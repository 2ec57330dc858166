"""Temporal correlation pooling: a vector for a clip of any length (Liu et al. 2019, section 3.4).

The method is Cherian & Gould's (2017). On a CPU four fifths of the time go to the eigenvectors for the
logarithm, and those take half as long again in float64 as in float32. It is worth it: S has eigenvalues from
1e-3 to about d/2, and at 1e-3 the logarithm multiplies rounding errors by a thousand. With 256 features
float32 would miss by up to 0.4% of the descriptor's length.

LAPACK, which finds the eigenvectors there, starts threads of its own that wait for each other: on cores that
others use as well, OPENBLAS_NUM_THREADS=1 in the environment makes it some hundred times faster.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geoattn_jax.descriptors.similarity import (
    RIDGE,
    Kind,
    Lengths,
    Sigma,
    Trajectories,
    checked,
    similarity,
)


def temporal_correlation(
    trajectories: Trajectories, lengths: Lengths, *, kind: Kind = "rbf", sigma: Sigma | None = None
) -> Float[Array, "b p"]:
    """The descriptors of clips: log S, its upper half as a vector, of length 1 (Liu et al. 2019, Eq. 3).

    S is `trajectory_similarity`; of "euclidean", which has no logarithm, S itself is taken. Under a linear
    classifier the logarithm makes distances of descriptors log-Euclidean distances of matrices. The
    arithmetic is in float64 whatever the features' dtype; each clip takes about 4 * 8 d^2 bytes.

    Repeating every frame of a clip changes nothing, for any kind. Nor does the order of the frames. Works
    under `jit`, `vmap` and with clips spread over devices; it is not made to be differentiated.

    Args:
      trajectories: the features of each frame, any float dtype, such as those of a `Projection`.
      lengths: frames of each clip; what is in the frames after them does not matter.
      kind: what S_ij is: "rbf", "euclidean" (as the paper prints it), "correlation" or "covariance".
      sigma: the unit of the features, such as `median_distance` of the training clips; needed by "rbf" and
        "covariance". The others do not depend on it.

    Returns: the descriptors, p = d (d + 1) / 2, in the features' dtype and the order of `half_vectorize`. NaN
      for a clip with a NaN or infinite feature; zero for "euclidean" if all trajectories are equal.
    Raises: ValueError if the shapes or dtypes disagree, kind is unknown, sigma is missing or not positive, or
      a length is not from 1 to t. Under `jit` lengths are not known: there one below 1 gives NaN.
    """
    trajectories, lengths, unit = checked("temporal_correlation", trajectories, lengths, kind, sigma)
    with jax.enable_x64(True):
        return _pool(trajectories, lengths, unit, kind)


def matrix_logarithm(matrices: Float[Array, "b d d"], *, floor: float = RIDGE) -> Float[Array, "b d d"]:
    """The logarithms of symmetric positive definite matrices, from their eigenvectors.

    Args:
      matrices: symmetric and finite.
      floor: the least eigenvalue that they can have; what rounding has put below is raised to it.

    Returns: the logarithms, symmetric.
    """
    values, vectors = jnp.linalg.eigh(matrices)
    logarithms = jnp.log(jnp.maximum(values, floor))
    return jnp.einsum("bik,bk,bjk->bij", vectors, logarithms, vectors)


def half_vectorize(matrices: Float[Array, "b d d"]) -> Float[Array, "b p"]:
    """The upper triangles of symmetric matrices as vectors of the same length.

    Row by row, each from its diagonal on: (1, 1), (1, 2), ..., (1, d), (2, 2), ... What is not on the
    diagonal is multiplied by the root of 2, as it stands for two numbers: vectors then have the scalar
    product of the matrices, sum_ij A_ij B_ij.

    Args:
      matrices: symmetric.

    Returns: the vectors, p = d (d + 1) / 2.
    """
    rows, columns = np.triu_indices(matrices.shape[-1])
    weights = np.where(rows == columns, 1, math.sqrt(2))
    return matrices[:, rows, columns] * jnp.asarray(weights, matrices.dtype)


@partial(jax.jit, static_argnames="kind")
def _pool(
    trajectories: Float[Array, "b t d"], lengths: Int[Array, " b"], unit: Float[Array, ""], kind: Kind
) -> Float[Array, "b p"]:
    matrices = similarity(trajectories, lengths, unit, kind)
    finite = jnp.all(jnp.isfinite(matrices), axis=(1, 2))
    if kind != "euclidean":
        # An eigensolver need not come back from a NaN.
        identity = jnp.eye(matrices.shape[-1])
        matrices = matrix_logarithm(jnp.where(finite[:, None, None], matrices, identity))
    vectors = half_vectorize(matrices)
    norms = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    descriptors = vectors / jnp.where(norms > 0, norms, 1)
    return jnp.where(finite[:, None], descriptors, jnp.nan).astype(trajectories.dtype)
