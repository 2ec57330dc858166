"""Average precision equals the oracle's and scikit-learn's, with ties and with classes that have no clips."""

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from inputs import normal
from sklearn.metrics import average_precision_score

from geoattn_jax.descriptors import (
    accuracy,
    average_precision,
    confusion_matrix,
    mean_average_precision,
    mean_average_precision_per_fold,
)

LABELS = np.array([0, 3, 1, 1, 0, 3, 3, 0, 1])  # nothing of class 2
SCORES = normal(0, 9, 4)


@given(
    arrays(np.float64, (9, 4), elements=st.integers(-2, 2).map(float)),  # many of them equal
    arrays(np.int64, 9, elements=st.integers(0, 3)),
)
def test_average_precision_is_the_oracles_and_scikit_learns(scores, labels):
    precisions = average_precision(scores, labels)
    for label, precision in enumerate(precisions):
        positive = labels == label
        if positive.any():
            assert precision == pytest.approx(oracles.average_precision(scores[:, label], positive))
            assert precision == pytest.approx(average_precision_score(positive, scores[:, label]))
        else:
            assert np.isnan(precision)
    assert mean_average_precision(scores, labels) == pytest.approx(np.nanmean(precisions))


def test_a_small_ranking_by_hand():
    scores = np.array([[0.9, 0.0], [0.8, 0.1], [0.7, 0.2], [0.6, 0.3]])
    np.testing.assert_allclose(
        average_precision(scores, np.array([0, 1, 0, 1])), [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2]
    )


def test_folds_are_evaluated_alone():
    folds = np.array([8, 8, 8, 20, 20, 20, 10, 10, 10])
    per_fold = mean_average_precision_per_fold(SCORES, LABELS, folds)
    assert list(per_fold) == [8, 10, 20]
    for fold, precision in per_fold.items():
        assert precision == mean_average_precision(SCORES[folds == fold], LABELS[folds == fold])


def test_scores_of_two_folds_in_other_units_are_better_alone():
    """Why pooled and per-fold mAP are both given."""
    labels = np.array([0, 1, 0, 1])
    perfect = np.array([[1.0, 0.0], [0.0, 1.0]])
    scores, folds = np.concatenate([perfect, perfect + 5]), np.array([0, 0, 1, 1])
    assert mean_average_precision_per_fold(scores, labels, folds) == {0: 1.0, 1: 1.0}
    assert mean_average_precision(scores, labels) < 0.9


def test_accuracy_and_confusions_agree():
    matrix = confusion_matrix(SCORES, LABELS)
    assert matrix.shape == (4, 4)
    np.testing.assert_array_equal(matrix.sum(axis=1), [3, 3, 0, 3])
    for true, predicted in np.ndindex(4, 4):
        count = sum(
            label == true and row.argmax() == predicted for label, row in zip(LABELS, SCORES, strict=True)
        )
        assert matrix[true, predicted] == count
    assert accuracy(SCORES, LABELS) == pytest.approx(np.trace(matrix) / 9)


def test_of_equal_scores_the_first_class_counts():
    assert accuracy(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 0.5


NAN = np.where(SCORES > 1, np.nan, SCORES)
EVALUATIONS = (average_precision, mean_average_precision, accuracy, confusion_matrix)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("evaluate", EVALUATIONS)
@pytest.mark.parametrize(
    ("scores", "labels", "said"),
    [
        (NAN, LABELS, r"scores must be finite, got NaN or infinity for \d clips"),
        (SCORES[:0], LABELS[:0], r"scores must hold a clip and a class, got shape \(0, 4\)"),
        (SCORES[0], LABELS, r"scores must have axes \(n, classes\)"),
        (SCORES, LABELS[1:], r"labels must have shape \(9,\) \(a class for each clip\), got \(8,\)"),
        (SCORES, LABELS - 1, r"labels must be from 0 to 3 \(there are 4 classes\), got -1 to 2"),
        (SCORES[:, :3], LABELS, "labels must be from 0 to 2"),
    ],
)
def test_bad_input_is_named(evaluate, scores, labels, said):
    with pytest.raises(ValueError, match=said):
        evaluate(scores, labels)


@pytest.mark.usefixtures("unchecked")
def test_bad_folds_are_named():
    with pytest.raises(
        ValueError, match=r"folds must have shape \(9,\) \(a fold for each clip\), got \(3,\)"
    ):
        mean_average_precision_per_fold(SCORES, LABELS, np.arange(3))
