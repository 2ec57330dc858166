"""Linear support vector machines on clips' descriptors, and their fusion (Liu et al. 2019, section 4.1).

One machine for each level: its descriptors are the spatial and the temporal stream's side by side,
`np.concatenate([spatial, temporal], axis=1)`. Where that is more than memory holds, `fit_svm_to_products`
gives one classifier for each stream, whose scores add up to the machine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.svm import SVC

from geoattn_jax.descriptors.labels import check_labels
from geoattn_jax.descriptors.products import ClipProducts, Portions, clip_products, finite_portions
from geoattn_jax.ops.checks import check_shape

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
        return self.scores_in_portions([descriptors])

    def scores_in_portions(self, portions: Portions) -> Float[np.ndarray, "n classes"]:
        """The scores of descriptors that come some clips at a time; see `scores`."""
        scores = [np.empty((0, len(self.biases)))]
        for descriptors in finite_portions("LinearClassifier.scores", portions):
            expected = (len(descriptors), self.weights.shape[1])
            check_shape(
                "LinearClassifier.scores", "descriptors", descriptors, expected,
                because="(as many numbers as the training clips had)",
                remedy="pool and concatenate them in the same way",
            )  # fmt: skip
            scores.append(descriptors @ self.weights.T + self.biases)
        return np.concatenate(scores)


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
    for _ in finite_portions("fit_svm", [descriptors]):
        check_labels("fit_svm", labels, (len(descriptors), num_classes))
    (classifier,) = _fit("fit_svm", [clip_products([descriptors])], labels, num_classes, c)
    return classifier


def fit_svm_to_products(
    parts: Sequence[ClipProducts], labels: Int[np.ndarray, " n"], *, num_classes: int, c: float = C
) -> list[LinearClassifier]:
    """The machines of `fit_svm`, for descriptors of several parts that come some clips at a time.

    The parts' scalar products add up to those of the descriptors side by side, which are never made.

    Args:
      parts: the same training clips' descriptors by one stream, by another and so on.
      labels: their classes, from 0 to num_classes - 1.
      num_classes: how many classes there are.
      c: the price of a clip inside the margin.

    Returns: a classifier for each part; the scores of a clip are the sum of theirs.
    Raises: ValueError as `fit_svm` does, or if parts are of different numbers of clips.
    """
    shape = parts[0].products.shape
    for number, part in enumerate(parts):
        check_shape(
            "fit_svm_to_products", f"parts[{number}].products", part.products, shape,
            because="like parts[0].products", remedy="give the same clips in all parts",
        )  # fmt: skip
    check_labels("fit_svm_to_products", labels, (len(parts[0].products), num_classes))
    return _fit("fit_svm_to_products", parts, labels, num_classes, c)


def _fit(
    function: str, parts: Sequence[ClipProducts], labels: Int[np.ndarray, " n"], num_classes: int, c: float
) -> list[LinearClassifier]:
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError(f"{function}: labels must hold two classes or more, got {present.tolist()} only")
    products = parts[0].products
    for part in parts[1:]:
        products = products + part.products
    unit = np.sqrt(np.trace(products) / len(products))
    if unit == 0:
        raise ValueError(f"{function}: descriptors must differ, got the same for all clips")
    factors, biases = np.zeros((num_classes, len(products))), np.full(num_classes, -1.0)
    for label in present:
        # With C / unit^2 the products need not be divided by unit^2, which would take a copy of them.
        machine = SVC(kernel="precomputed", C=c / unit**2).fit(products, labels == label)
        factors[label, machine.support_] = machine.dual_coef_[0]
        biases[label] = machine.intercept_[0]
    weights = [part.weighted(factors) for part in parts]
    offsets = [-own @ part.mean for own, part in zip(weights, parts, strict=True)]
    offsets[0] = offsets[0] + biases
    return [LinearClassifier(*pair) for pair in zip(weights, offsets, strict=True)]


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
