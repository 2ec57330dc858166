"""Linear support vector machines on clips' descriptors, and their fusion (Liu et al. 2019, section 4.1).

One machine for each level: its descriptors are the spatial and the temporal stream's side by side,
`np.concatenate([spatial, temporal], axis=1)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.svm import SVC

from geoattn_jax.descriptors.labels import check_labels
from geoattn_jax.ops.checks import check_array, check_shape

C = 10.0  # the price of a training clip inside the margin, in the unit that `fit_svm` describes


@dataclass(frozen=True)
class LinearClassifier:
    """One linear function for each class.

    Attributes:
      weights: of each class.
      biases: of each class.
    """

    weights: Float[np.ndarray, "classes p"]
    biases: Float[np.ndarray, " classes"]

    def scores(self, descriptors: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n classes"]:
        """How much each clip looks like each class: above 0 on the class's side, 1 at its margin.

        Args:
          descriptors: of the clips.

        Returns: the scores, in float64.
        Raises: ValueError if descriptors are not a finite floating-point (n, p) of the p that was fitted.
        """
        _check_descriptors("LinearClassifier.scores", descriptors)
        expected = (len(descriptors), self.weights.shape[1])
        check_shape(
            "LinearClassifier.scores", "descriptors", descriptors, expected,
            because="(as many numbers as the training clips had)",
            remedy="pool and concatenate them in the same way",
        )  # fmt: skip
        return descriptors @ self.weights.T + self.biases


def fit_svm(
    descriptors: Float[np.ndarray, "n p"], labels: Int[np.ndarray, " n"], *, num_classes: int, c: float = C
) -> LinearClassifier:
    """One linear support vector machine for each class, which tells it from the rest, by scikit-learn.

    Their unit of length is the root mean square distance of the training clips from their mean, so that one C
    suits all kinds of descriptors: normalized ones lie close together. All machines share the scalar products
    of the clips, as there are far more numbers in a descriptor than clips.

    Args:
      descriptors: of the training clips.
      labels: their classes, from 0 to num_classes - 1. A class without training clips scores -1 everywhere,
        the margin of a plain no.
      num_classes: how many classes there are.
      c: the price of a clip inside the margin. On generated clips of 14 classes the default, 10, separates
        the training clips, so that more changes nothing; less leaves mAP as it is and costs some accuracy.

    Returns: the classifier, for descriptors as they came.
    Raises: ValueError if descriptors are not a finite floating-point (n, p), all equal, labels are not one
      for each from 0 to num_classes - 1, or fewer than two classes have clips.
    """
    _check_descriptors("fit_svm", descriptors)
    check_labels("fit_svm", labels, (len(descriptors), num_classes))
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError(f"fit_svm: labels must hold two classes or more, got {present.tolist()} only")
    centred = descriptors - descriptors.mean(axis=0)
    products = (centred @ centred.T).astype(np.float64)
    unit = np.sqrt(np.trace(products) / len(products))
    if unit == 0:
        raise ValueError("fit_svm: descriptors must differ, got the same for all clips")
    products /= unit**2
    weights = np.zeros((num_classes, descriptors.shape[1]))
    biases = np.full(num_classes, -1.0)
    for label in present:
        machine = SVC(kernel="precomputed", C=c).fit(products, labels == label)
        weights[label] = machine.dual_coef_[0] @ centred[machine.support_] / unit**2
        biases[label] = machine.intercept_[0]
    return LinearClassifier(weights, biases - weights @ descriptors.mean(axis=0))


def fuse(scores: Sequence[Float[np.ndarray, "n classes"]]) -> Float[np.ndarray, "n classes"]:
    """Average fusion of several classifiers' scores of the same clips, such as the three levels'.

    Args:
      scores: of each classifier.

    Returns: their mean.
    Raises: ValueError if there are none or their shapes differ.
    """
    if not scores:
        raise ValueError("fuse: scores must hold one classifier's at least, got none")
    for number, one in enumerate(scores):
        check_shape(
            "fuse", f"scores[{number}]", one, scores[0].shape,
            because="like scores[0]", remedy="score the same clips and classes",
        )  # fmt: skip
    return np.mean(scores, axis=0)


def _check_descriptors(function: str, descriptors: np.ndarray) -> None:
    check_array(function, "descriptors", descriptors, "n p", "give the clips as rows")
    bad = np.flatnonzero(~np.isfinite(descriptors).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{function}: descriptors must be finite, got NaN or infinity in {bad.size} clips, the first is "
            f"clip {bad[0]}; look for NaN in its frames' features"
        )
