"""Support vector machines are scikit-learn's, in the documented unit; scores are fused by their mean."""

import numpy as np
import pytest
from inputs import normal
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from geoattn_jax.descriptors import accuracy, clip_products, fit_svm, fit_svm_to_products, fuse

LABELS = np.arange(24) % 3
# Close together and far from the origin, as normalized descriptors are.
CLIPS = 0.5 + 0.01 * (normal(0, 3, 11)[LABELS] + 0.8 * normal(1, 24, 11))


@pytest.mark.parametrize("c", [0.1, 1.0, 30.0])
def test_scores_are_those_of_one_machine_against_the_rest(c):
    centred = CLIPS - CLIPS.mean(axis=0)
    unit = np.sqrt((centred**2).sum(axis=1).mean())
    rivals = OneVsRestClassifier(SVC(kernel="linear", C=c)).fit(centred / unit, LABELS)
    tested = CLIPS + 0.01 * normal(2, 24, 11)
    expected = rivals.decision_function((tested - CLIPS.mean(axis=0)) / unit)
    scores = fit_svm(CLIPS, LABELS, num_classes=3, c=c).scores(tested)
    np.testing.assert_allclose(scores, expected, atol=2e-2)  # libsvm stops at a tolerance of 1e-3
    assert np.abs(expected).max() > 0.4


def test_classes_are_told_apart():
    classifier = fit_svm(CLIPS, LABELS, num_classes=3)
    assert accuracy(classifier.scores(CLIPS + 0.005 * normal(3, 24, 11)), LABELS) > 0.9


@pytest.mark.parametrize("sizes", [[24], [5, 0, 12, 7], [1] * 24])
def test_parts_that_come_in_portions_add_up_to_one_machine(sizes):
    """As if they stood side by side; of different units, as streams are."""
    other = 3 * normal(4, 24, 5) + 7

    def portions(clips):
        return np.split(clips, np.cumsum(sizes)[:-1])

    parts = [clip_products(portions(clips)) for clips in (CLIPS, other)]
    classifiers = fit_svm_to_products(parts, LABELS, num_classes=4)
    tested = [clips + 0.1 for clips in (CLIPS, other)]
    scores = [one.scores_in_portions(portions(clips)) for one, clips in zip(classifiers, tested, strict=True)]
    whole = fit_svm(np.concatenate([CLIPS, other], axis=1), LABELS, num_classes=4)
    np.testing.assert_allclose(sum(scores), whole.scores(np.concatenate(tested, axis=1)), atol=1e-6)
    np.testing.assert_allclose(
        np.concatenate([one.weights for one in classifiers], axis=1), whole.weights, atol=1e-6
    )


def test_the_number_of_a_clip_without_finite_descriptors_counts_all_portions():
    with pytest.raises(ValueError, match=r"clip_products: .* in 1 clips, the first is clip 4"):
        clip_products([NAN[:3], NAN[3:]])
    classifier = fit_svm(CLIPS, LABELS, num_classes=3)
    with pytest.raises(ValueError, match="the first is clip 4"):
        classifier.scores_in_portions([NAN[:3], NAN[3:]])


@pytest.mark.parametrize("change", [lambda x: 100 * x, lambda x: x - 7, lambda x: x.astype(np.float32)])
def test_unit_origin_and_dtype_of_descriptors_do_not_matter(change):
    scores = fit_svm(CLIPS, LABELS, num_classes=3).scores(CLIPS)
    changed = fit_svm(change(CLIPS), LABELS, num_classes=3).scores(change(CLIPS))
    np.testing.assert_allclose(changed, scores, atol=1e-3)


def test_a_class_without_training_clips_is_a_plain_no():
    with_gap = np.array([0, 1, 3])[LABELS]
    scores = fit_svm(CLIPS, with_gap, num_classes=5).scores(CLIPS)
    np.testing.assert_array_equal(scores[:, [2, 4]], -1)
    full = fit_svm(CLIPS, LABELS, num_classes=3).scores(CLIPS)
    np.testing.assert_allclose(scores[:, [0, 1, 3]], full, rtol=1e-9)


def test_fusion_is_the_mean():
    levels = [normal(seed, 4, 3) for seed in range(3)]
    np.testing.assert_allclose(fuse(levels), (levels[0] + levels[1] + levels[2]) / 3)


NAN = np.where(np.arange(24)[:, None] == 4, np.nan, CLIPS)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fit_svm(NAN, LABELS, num_classes=3),
         "fit_svm: descriptors must be finite, got NaN or infinity in 1 clips, the first is clip 4"),
        (lambda: fit_svm(CLIPS, LABELS[:5], num_classes=3), r"labels must have shape \(24,\)"),
        (lambda: fit_svm(CLIPS, LABELS, num_classes=2), r"labels must be from 0 to 1 .*, got 0 to 2"),
        (lambda: fit_svm(CLIPS, LABELS * 1.0, num_classes=3), "labels must be whole numbers, got float64"),
        (lambda: fit_svm(CLIPS, 0 * LABELS, num_classes=3), r"must hold two classes or more, got \[0\] only"),
        (lambda: fit_svm(0 * CLIPS, LABELS, num_classes=3), "descriptors must differ"),
        (lambda: fit_svm(CLIPS[0], LABELS, num_classes=3), r"descriptors must have axes \(n, p\)"),
        (lambda: fit_svm(CLIPS, LABELS, num_classes=3).scores(CLIPS[:, :4]),
         r"LinearClassifier.scores: descriptors must have shape \(24, 11\) .*, got \(24, 4\)"),
        (lambda: fit_svm(CLIPS, LABELS, num_classes=3).scores(NAN), "descriptors must be finite"),
        (lambda: fit_svm_to_products([clip_products([x]) for x in (CLIPS, CLIPS[1:])], LABELS, num_classes=3),
         r"parts\[1\].products must have shape \(24, 24\) like parts\[0\].products, got \(23, 23\)"),
        (lambda: fuse([]), "fuse: scores must hold one classifier's at least"),
        (lambda: fuse([CLIPS, CLIPS[1:]]), r"scores\[1\] must have shape \(24, 11\) like scores\[0\], got"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
