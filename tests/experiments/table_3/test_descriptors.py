"""Descriptors of clips: pooled some at a time as all at once, fitted to the training clips alone."""

import numpy as np
import pytest
from numpy.random import default_rng

from geoattn_jax.descriptors import fit_pca, median_distance, temporal_correlation
from geoattn_jax.experiments.table_3 import descriptors as clip_descriptors
from geoattn_jax.experiments.table_3.descriptors import ClipFeatures, describe_clips
from geoattn_jax.experiments.table_3.features import trajectories

TRAIN, TEST = np.array([3, 1, 4, 2, 5]), np.array([2, 4, 1])


def features(lengths, seed):
    return ClipFeatures(default_rng(seed).normal(size=(lengths.sum(), 7)).astype(np.float32), lengths)


@pytest.mark.parametrize("kind", ["rbf", "correlation"])
def test_descriptors_are_those_of_the_projected_trajectories(monkeypatch, kind):
    monkeypatch.setattr(clip_descriptors, "CLIPS_AT_ONCE", 2)
    train, test = features(TRAIN, 0), features(TEST, 1)
    found = describe_clips(train, test, components=4, kind=kind)
    projection = fit_pca(train.features, 4)
    clips = [trajectories(np.asarray(projection.project(part)), lengths) for part, lengths in (train, test)]
    sigma = median_distance(clips[0], TRAIN)
    for descriptors, part, lengths in zip(found, clips, (TRAIN, TEST), strict=True):
        assert descriptors.shape == (len(lengths), 10)
        expected = temporal_correlation(part, lengths, kind=kind, sigma=sigma)
        np.testing.assert_allclose(descriptors, expected, rtol=1e-4, atol=1e-5)


def test_test_clips_change_nothing_of_the_training_clips():
    train = features(TRAIN, 0)
    one, other = (describe_clips(train, features(TEST, seed), components=3, kind="rbf") for seed in (1, 2))
    np.testing.assert_array_equal(one[0], other[0])
    assert not np.allclose(one[1], other[1])
