"""Fewer features for each frame, by principal components of the training frames (Liu et al. 2019, 4.1)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from sklearn.decomposition import PCA

from geoattn_jax.ops.checks import check_array


@dataclass(frozen=True)
class Projection:
    """Principal components.

    Attributes:
      mean: of the training frames' features.
      components: orthonormal rows, the direction of the largest variance first.
      variances: of the training frames along each component.
      explained: their sum as a part of the variance of all features.
    """

    mean: Float[np.ndarray, " n"]
    components: Float[np.ndarray, "k n"]
    variances: Float[np.ndarray, " k"]
    explained: float

    def project(self, features: Float[Array, "*b n"] | Float[np.ndarray, "*b n"]) -> Float[Array, "*b k"]:
        """The coordinates of features along the components.

        Args:
          features: of frames, in any number of axes.

        Returns: the coordinates, in the features' dtype.
        Raises: ValueError if features are not floating point or of another number than were fitted.
        """
        features = jnp.asarray(features)
        check_array("Projection.project", "features", features, "*b n")
        if features.shape[-1] != len(self.mean):
            raise ValueError(
                f"Projection.project: features must have {len(self.mean)} numbers on the last axis, as those "
                f"that were fitted, got shape {features.shape}"
            )
        return _project(
            features, *(jnp.asarray(array, features.dtype) for array in (self.mean, self.components))
        )


def fit_pca(features: Float[np.ndarray, "f n"], num_components: int = 256) -> Projection:
    """The principal components of the frames' features, by scikit-learn.

    Args:
      features: of the training frames.
      num_components: how many to keep; the paper's 256 of 4096 by default.

    Returns: the projection; the same for the same features.
    Raises: ValueError if features are not a finite floating-point (f, n), or have fewer frames or features
      than num_components.
    """
    check_array("fit_pca", "features", features, "f n", "give all training frames as one list of rows")
    if not 1 <= num_components <= min(features.shape):
        raise ValueError(
            f"fit_pca: num_components must be from 1 to {min(features.shape)}, the smaller of the numbers of "
            f"frames and features of shape {features.shape}, got {num_components}"
        )
    bad = np.count_nonzero(~np.isfinite(features).all(axis=1))
    if bad:
        raise ValueError(f"fit_pca: features must be finite, got NaN or infinity in {bad} frames")
    pca = PCA(num_components, random_state=0).fit(features)
    return Projection(
        pca.mean_, pca.components_, pca.explained_variance_, float(pca.explained_variance_ratio_.sum())
    )


@jax.jit
def _project(
    features: Float[Array, "*b n"], mean: Float[Array, " n"], components: Float[Array, "k n"]
) -> Float[Array, "*b k"]:
    # Not in the accelerator's short formats.
    return jnp.einsum("...n,kn->...k", features - mean, components, precision=lax.Precision.HIGHEST)
