"""From the features of a clip's frames to its class: PCA, temporal correlation pooling, SVM, fusion."""

from geoattn_jax.descriptors.evaluation import (
    accuracy,
    average_precision,
    confusion_matrix,
    mean_average_precision,
    mean_average_precision_per_fold,
)
from geoattn_jax.descriptors.pca import Projection, fit_pca, fit_pca_in_portions
from geoattn_jax.descriptors.products import ClipProducts, clip_products
from geoattn_jax.descriptors.similarity import median_distance, trajectory_similarity
from geoattn_jax.descriptors.svm import LinearClassifier, fit_svm, fit_svm_to_products, fuse
from geoattn_jax.descriptors.temporal_correlation import (
    half_vectorize,
    matrix_logarithm,
    temporal_correlation,
)

__all__ = [
    "ClipProducts",
    "LinearClassifier",
    "Projection",
    "accuracy",
    "average_precision",
    "clip_products",
    "confusion_matrix",
    "fit_pca",
    "fit_pca_in_portions",
    "fit_svm",
    "fit_svm_to_products",
    "fuse",
    "half_vectorize",
    "matrix_logarithm",
    "mean_average_precision",
    "mean_average_precision_per_fold",
    "median_distance",
    "temporal_correlation",
    "trajectory_similarity",
]
