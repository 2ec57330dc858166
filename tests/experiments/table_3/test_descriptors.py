"""Descriptors of clips: some clips at a time as all at once, fitted to the training clips alone."""

import numpy as np
import pytest
from numpy.random import default_rng
from sklearn.decomposition import PCA

from geoattn_jax.descriptors import median_distance, temporal_correlation
from geoattn_jax.experiments.table_3 import descriptors as clip_descriptors
from geoattn_jax.experiments.table_3.descriptors import ClipFeatures, ClipPooling, clip_by_clip, padded

TRAIN, TEST = np.array([3, 1, 40, 2, 5, 17, 4]), np.array([2, 4, 70, 1])


def features(lengths, seed):
    """Of different variances, eight frames at a time."""
    spread = np.linspace(3, 1, 7)
    drawn = (spread * default_rng(seed).normal(size=(lengths.sum(), 7))).astype(np.float32)
    return ClipFeatures(np.array_split(drawn, range(8, len(drawn), 8)), lengths)


def in_order(pooling, clips):
    """The descriptors of all clips, each once."""
    parts = list(pooling.pooled(clips))
    numbers = np.concatenate([part.numbers for part in parts])
    assert sorted(numbers.tolist()) == list(range(len(clips.lengths)))
    return np.concatenate([part.descriptors for part in parts])[np.argsort(numbers)]


def all_at_once(projected, lengths):
    """Every clip filled up to the longest."""
    clips = np.zeros((len(lengths), lengths.max(), projected.shape[1]), projected.dtype)
    clips[np.arange(lengths.max()) < lengths[:, None]] = projected
    return clips


@pytest.mark.parametrize("kind", ["rbf", "correlation"])
@pytest.mark.parametrize(("clips", "frames"), [(2, 64), (60, 8192), (3, 20)])
def test_descriptors_are_those_of_the_projected_trajectories(monkeypatch, kind, clips, frames):
    monkeypatch.setattr(clip_descriptors, "CLIPS_AT_ONCE", clips)
    monkeypatch.setattr(clip_descriptors, "FRAMES_AT_ONCE", frames)
    train, test = features(TRAIN, 0), features(TEST, 1)
    pooling = ClipPooling.fitted(train, components=4, kind=kind)
    found = [in_order(pooling, clips) for clips in (train, test)]
    pca = PCA(4, svd_solver="full").fit(np.concatenate(train.features).astype(np.float64))
    wholes = [
        all_at_once(pca.transform(np.concatenate(part)).astype(np.float32), lengths)
        for part, lengths in (train, test)
    ]
    sigma = median_distance(wholes[0], TRAIN)
    for descriptors, whole, lengths in zip(found, wholes, (TRAIN, TEST), strict=True):
        assert descriptors.shape == (len(lengths), 10)
        expected = temporal_correlation(whole, lengths, kind=kind, sigma=sigma)
        np.testing.assert_allclose(descriptors, expected, rtol=1e-4, atol=1e-5)


def test_the_unit_is_that_of_some_training_clips(monkeypatch):
    """The first, the last, and those between at even distances."""
    monkeypatch.setattr(clip_descriptors, "CLIPS_FOR_SIGMA", 3)
    train = features(TRAIN, 0)
    chosen = np.array([0, 3, 6])
    projection = clip_descriptors.fit_pca_in_portions(train.features, 4)
    whole = all_at_once(np.asarray(projection.project(np.concatenate(train.features))), TRAIN)
    expected = median_distance(whole[chosen], TRAIN[chosen])
    assert clip_descriptors._unit(train, projection) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("lengths", "said"), [([3, 4], "fewer than 7"), ([3, 2], "more than 5")])
def test_features_of_other_clips_are_refused(lengths, said):
    train = ClipFeatures(features(np.array([3, 3]), 0).features, np.array(lengths))
    with pytest.raises(ValueError, match=f"features of {said} frames"):
        ClipPooling.fitted(train, components=2, kind="rbf")


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 0, 7], [2, 3, 4, 3]])
def test_clips_do_not_depend_on_the_portions(sizes):
    features = np.arange(24, dtype=np.float32).reshape(12, 2)
    portions = np.split(features, np.cumsum(sizes)[:-1])
    found = list(clip_by_clip(portions, np.array([1, 7, 4])))
    for one, expected in zip(found, np.split(features, [1, 8]), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_clips_are_filled_up_with_zeros_in_few_shapes():
    rng, lengths = default_rng(0), [3, 30, 16, 1, 90, 17, 5, 7, 16, 2, 33]
    clips = [rng.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    batches = list(padded(enumerate(clips), clips_at_once=4, frames_at_once=64))
    assert sorted(np.concatenate([batch.numbers for batch in batches]).tolist()) == list(range(11))
    shapes = [batch.trajectories.shape for batch in batches]
    assert set(shapes) == {(4, 16, 3), (2, 32, 3), (1, 64, 3), (1, 128, 3)}
    assert len(shapes) == 5  # seven short clips, two of middling length, two long ones
    for batch in batches:
        places = [*batch.numbers, *[batch.numbers[-1]] * (len(batch.lengths) - len(batch.numbers))]
        for place, one, length in zip(places, batch.trajectories, batch.lengths, strict=True):
            assert length == lengths[place]
            np.testing.assert_array_equal(one[:length], clips[place])
            assert not one[length:].any()
