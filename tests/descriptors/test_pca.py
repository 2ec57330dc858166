"""Principal components: what they keep, in any number of axes, and what they refuse."""

import jax.numpy as jnp
import numpy as np
import pytest
from inputs import normal
from sklearn.decomposition import PCA

from geoattn_jax.descriptors import fit_pca, fit_pca_in_portions

# 40 frames of 7 features that vary in three directions, and a little noise.
FRAMES = (normal(0, 40, 3) * [5, 2, 1]) @ normal(1, 3, 7) + 3 + 1e-3 * normal(2, 40, 7)


def test_components_are_those_of_the_covariance():
    projection = fit_pca(FRAMES, 3)
    values, vectors = np.linalg.eigh(np.cov(FRAMES.T))
    np.testing.assert_allclose(projection.variances, values[:-4:-1], rtol=1e-9)
    overlap = projection.components @ vectors[:, :-4:-1]
    np.testing.assert_allclose(np.abs(overlap), np.eye(3), atol=1e-9)
    assert projection.explained == pytest.approx(values[-3:].sum() / values.sum())
    assert projection.explained > 0.999


def test_coordinates_give_the_frames_back():
    projection = fit_pca(FRAMES.astype(np.float32), 3)
    coordinates = projection.project(FRAMES.astype(np.float32))
    assert coordinates.dtype == jnp.float32
    np.testing.assert_allclose(coordinates @ projection.components + projection.mean, FRAMES, atol=1e-2)
    np.testing.assert_allclose(np.var(coordinates, axis=0, ddof=1), projection.variances, rtol=1e-4)


def test_clips_are_projected_frame_by_frame():
    projection = fit_pca(FRAMES.astype(np.float32), 2)
    clips = jnp.asarray(FRAMES[:24].reshape(2, 4, 3, 7), jnp.float32)
    np.testing.assert_allclose(
        projection.project(clips).reshape(24, 2),
        projection.project(FRAMES[:24].astype(np.float32)),
        atol=1e-5,
    )


def test_equal_frames_give_equal_projections():
    many = normal(3, 600, 520).astype(np.float32)  # large enough for scikit-learn to draw random directions
    first, second = fit_pca(many, 4), fit_pca(many, 4)
    np.testing.assert_array_equal(first.components, second.components)


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [3, 20, 0, 17]])
@pytest.mark.parametrize("far", [0.0, 1e3])
def test_portions_give_the_components_of_the_whole(sizes, far):
    """scikit-learn's, signs too, also where the mean is far larger than the variance."""
    frames = (FRAMES + far).astype(np.float32)
    found = fit_pca_in_portions(np.split(frames, np.cumsum(sizes)[:-1]), 5)
    exact = PCA(5, svd_solver="full").fit(frames.astype(np.float64))
    np.testing.assert_allclose(found.mean, exact.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.variances, exact.explained_variance_, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.components[:3], exact.components_[:3], atol=1e-7)
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(5), atol=1e-12)
    assert found.explained == pytest.approx(exact.explained_variance_ratio_.sum())
    np.testing.assert_allclose(found.project(frames)[:, :3], exact.transform(frames)[:, :3], atol=1e-3)


def test_portions_are_iterated_over_once():
    whole = fit_pca_in_portions([FRAMES], 3)
    found = fit_pca_in_portions(iter(np.split(FRAMES, 8)), 3)
    np.testing.assert_allclose(found.components, whole.components, atol=1e-12)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fit_pca(FRAMES, 8),
         r"num_components must be from 1 to 7, the smaller .* of shape \(40, 7\), got 8"),
        (lambda: fit_pca(FRAMES[:2], 3), "num_components must be from 1 to 2"),
        (lambda: fit_pca(FRAMES, 0), "num_components must be from 1 to 7"),
        (lambda: fit_pca(FRAMES[None], 2), r"features must have axes \(f, n\), got shape \(1, 40, 7\)"),
        (lambda: fit_pca(np.where(FRAMES > 9, np.nan, FRAMES), 2),
         r"features must be finite, got NaN or infinity in \d+ frames"),
        (lambda: fit_pca_in_portions([FRAMES[:3], FRAMES[3:]], 8),
         "num_components must be from 1 to 7, the smaller of the numbers of frames, 40, and features, 7"),
        (lambda: fit_pca_in_portions([FRAMES[:2]], 3), "must be from 1 to 2.* frames, 2, and features, 7"),
        (lambda: fit_pca_in_portions([], 3), "frames, 0, and features"),
        (lambda: fit_pca_in_portions([FRAMES, FRAMES[0]], 3), r"each of portions must have axes \(f, n\)"),
        (lambda: fit_pca_in_portions([FRAMES, FRAMES[:, :6]], 3),
         r"portions must have the same number of features, got shape \(40, 6\) after 7"),
        (lambda: fit_pca_in_portions([FRAMES, np.where(FRAMES > 9, np.inf, FRAMES), FRAMES], 2),
         r"portions must be finite, got NaN or infinity in \d+ frames"),
        (lambda: fit_pca(FRAMES, 2).project(FRAMES[:, :6]),
         r"features must have 7 numbers on the last axis, as those that were fitted, got shape \(40, 6\)"),
        (lambda: fit_pca(FRAMES, 2).project(np.ones((2, 7), int)), "features must be floating point"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
