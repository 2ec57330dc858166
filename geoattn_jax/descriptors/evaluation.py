"""How good scores are: average precision, accuracy, confusions.

Scores are (n, classes), larger for likelier classes; labels are whole numbers from 0 on.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from sklearn import metrics

from geoattn_jax.descriptors.labels import check_labels
from geoattn_jax.ops.checks import check_array, check_shape

Scores = Float[np.ndarray, "n classes"]
Labels = Int[np.ndarray, " n"]


def average_precision(scores: Scores, labels: Labels) -> Float[np.ndarray, " classes"]:
    """The average precision of each class, as scikit-learn defines it (without interpolation).

    Clips are ranked by their score for the class; clips of equal scores share a rank.

    Args:
      scores: of each clip for each class.
      labels: the clips' classes.

    Returns: fractions; NaN for a class without clips, which has none.
    Raises: ValueError if scores are not a finite floating-point (n, classes) with a clip, or labels are not
      one for each clip from 0 to classes - 1.
    """
    _check("average_precision", scores, labels)
    precisions = np.full(scores.shape[1], np.nan)
    for label in np.unique(labels):
        precisions[label] = metrics.average_precision_score(labels == label, scores[:, label])
    return precisions


def mean_average_precision(scores: Scores, labels: Labels) -> float:
    """The mean of the average precisions of the classes that have clips (Liu et al. 2019, Table 3).

    Of several folds' clips together this is the *pooled* mAP.

    Args:
      scores: of each clip for each class.
      labels: the clips' classes.

    Returns: a fraction.
    Raises: ValueError as `average_precision` does.
    """
    return float(np.nanmean(average_precision(scores, labels)))


def mean_average_precision_per_fold(
    scores: Scores, labels: Labels, folds: Int[np.ndarray, " n"]
) -> Mapping[int, float]:
    """The mAP of each fold's clips alone, over the classes that have clips there.

    Args:
      scores: of each clip for each class.
      labels: the clips' classes.
      folds: the fold in which each clip was tested, such as its subject.

    Returns: fractions by fold, in ascending order.
    Raises: ValueError as `average_precision` does, or if folds are not one for each clip.
    """
    _check("mean_average_precision_per_fold", scores, labels)
    check_shape(
        "mean_average_precision_per_fold", "folds", folds, labels.shape,
        because="(a fold for each clip)", remedy="give one for each",
    )  # fmt: skip
    return {
        int(fold): mean_average_precision(scores[folds == fold], labels[folds == fold])
        for fold in np.unique(folds)
    }


def accuracy(scores: Scores, labels: Labels) -> float:
    """Top-1: how many clips score highest for their own class; of equal scores the first class counts.

    Args:
      scores: of each clip for each class.
      labels: the clips' classes.

    Returns: a fraction.
    Raises: ValueError as `average_precision` does.
    """
    _check("accuracy", scores, labels)
    return float(metrics.accuracy_score(labels, scores.argmax(axis=1)))


def confusion_matrix(scores: Scores, labels: Labels) -> Int[np.ndarray, "classes classes"]:
    """How many clips of each class (row) score highest for each class (column).

    Args:
      scores: of each clip for each class.
      labels: the clips' classes.

    Returns: counts; a row of zeros for a class without clips.
    Raises: ValueError as `average_precision` does.
    """
    _check("confusion_matrix", scores, labels)
    return metrics.confusion_matrix(labels, scores.argmax(axis=1), labels=np.arange(scores.shape[1]))


def _check(function: str, scores: np.ndarray, labels: np.ndarray) -> None:
    check_array(function, "scores", scores, "n classes", "give a row for each clip")
    if scores.size == 0:
        raise ValueError(f"{function}: scores must hold a clip and a class, got shape {scores.shape}")
    bad = np.count_nonzero(~np.isfinite(scores).all(axis=1))
    if bad:
        raise ValueError(f"{function}: scores must be finite, got NaN or infinity for {bad} clips")
    check_labels(function, labels, scores.shape)
