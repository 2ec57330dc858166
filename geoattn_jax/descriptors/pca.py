"""Fewer features for each frame, by principal components of the training frames (Liu et al. 2019, 4.1)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
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

    For more features than memory holds there is `fit_pca_in_portions`.

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


def fit_pca_in_portions(
    portions: Iterable[Float[np.ndarray, "_ n"]], num_components: int = 256
) -> Projection:
    """The principal components of features that come some frames at a time, each portion once.

    The eigenvectors of the exact covariance matrix, which is summed up in float64. It takes about 4 * 8 n^2
    bytes, however many frames there are; signs are chosen as scikit-learn does.

    Args:
      portions: the features of the training frames.
      num_components: how many to keep; the paper's 256 of 4096 by default.

    Returns: the projection, in float64.
    Raises: ValueError as `fit_pca`, after all portions were read.
    """
    count = bad = 0
    origin = total = products = np.zeros(())
    for features in portions:
        check_array("fit_pca_in_portions", "each of portions", features, "f n")
        if count and features.shape[1] != total.size:
            raise ValueError(
                f"fit_pca_in_portions: portions must have the same number of features, "
                f"got shape {features.shape} after {total.size}"
            )
        rows = features.astype(np.float64)
        bad += np.count_nonzero(~np.isfinite(rows).all(axis=1))
        if bad or not len(rows):
            continue
        if not count:
            origin = rows.mean(axis=0)  # sums of numbers near zero lose nothing
        rows -= origin
        count, total, products = count + len(rows), total + rows.sum(axis=0), products + rows.T @ rows
    if bad:
        raise ValueError(f"fit_pca_in_portions: portions must be finite, got NaN or infinity in {bad} frames")
    if not 1 <= num_components <= min(count, total.size):
        raise ValueError(
            f"fit_pca_in_portions: num_components must be from 1 to {min(count, total.size)}, the smaller of "
            f"the numbers of frames, {count}, and features, {total.size}; got {num_components}"
        )
    mean = total / count
    covariance = (products - count * np.outer(mean, mean)) / max(count - 1, 1)
    kept = (len(covariance) - num_components, len(covariance) - 1)
    values, vectors = scipy.linalg.eigh(covariance, subset_by_index=kept)
    variances, components = np.maximum(values[::-1], 0), vectors.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(num_components), largest])[:, None]
    variance = np.trace(covariance)
    explained = float(variances.sum() / variance) if variance > 0 else math.nan
    return Projection(origin + mean, components, variances, explained)


@jax.jit
def _project(
    features: Float[Array, "*b n"], mean: Float[Array, " n"], components: Float[Array, "k n"]
) -> Float[Array, "*b k"]:
    # Not in the accelerator's short formats.
    return jnp.einsum("...n,kn->...k", features - mean, components, precision=lax.Precision.HIGHEST)
