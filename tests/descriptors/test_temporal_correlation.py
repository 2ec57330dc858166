"""Temporal correlation pooling equals the oracle's, whatever the lengths, the padding and the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from inputs import normal
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from geoattn_jax.descriptors import (
    half_vectorize,
    matrix_logarithm,
    median_distance,
    temporal_correlation,
    trajectory_similarity,
)

KINDS = ("rbf", "euclidean", "correlation", "covariance")
POSITIVE_DEFINITE = ("rbf", "correlation", "covariance")
SIGMA = 1.3
every_kind = pytest.mark.parametrize("kind", KINDS)
every_positive_definite_kind = pytest.mark.parametrize("kind", POSITIVE_DEFINITE)

LENGTHS = np.array([9, 1, 4, 2, 6, 3, 5])  # more and fewer frames than the five features


def clips(dtype: type = np.float64) -> np.ndarray:
    """Walks of five features about places of their own; NaN after each clip's end."""
    trajectories = np.cumsum(normal(0, 7, 9, 5), axis=1) / 2 + 3 * normal(1, 7, 1, 5)
    for clip, length in zip(trajectories, LENGTHS, strict=True):
        clip[length:] = np.nan
    return trajectories.astype(dtype)


def expected(function, trajectories=None, lengths=LENGTHS, **options) -> np.ndarray:
    trajectories = clips() if trajectories is None else trajectories
    return np.stack(
        [function(clip[:length], **options) for clip, length in zip(trajectories, lengths, strict=True)]
    )


@every_kind
def test_descriptors_are_the_oracles(kind):
    """Given in float32, computed in float64."""
    trajectories = clips(np.float32)
    descriptors = temporal_correlation(trajectories, LENGTHS, kind=kind, sigma=SIGMA)
    assert descriptors.dtype == jnp.float32
    oracle = expected(oracles.temporal_correlation, trajectories.astype(np.float64), kind=kind, sigma=SIGMA)
    np.testing.assert_allclose(descriptors, oracle, rtol=0, atol=1e-7)


@every_kind
def test_in_float64(x64, kind):
    descriptors = temporal_correlation(clips(), LENGTHS, kind=kind, sigma=SIGMA)
    assert descriptors.dtype == jnp.float64
    oracle = expected(oracles.temporal_correlation, kind=kind, sigma=SIGMA)
    np.testing.assert_allclose(descriptors, oracle, rtol=0, atol=1e-10)
    similarity = trajectory_similarity(clips(), LENGTHS, kind=kind, sigma=SIGMA)
    oracle = expected(oracles.trajectory_similarity, kind=kind, sigma=SIGMA)
    np.testing.assert_allclose(similarity, oracle, rtol=0, atol=1e-12)


def test_at_the_papers_size_in_float32():
    """256 features: more than the frames, and S has eigenvalues from 1e-3 to more than a hundred."""
    trajectories = (np.cumsum(normal(2, 1, 23, 256), axis=1) + normal(3, 1, 1, 256)).astype(np.float32)
    lengths = np.array([23])
    sigma = median_distance(trajectories, lengths)
    descriptors = temporal_correlation(trajectories, lengths, sigma=sigma)
    assert descriptors.shape == (1, 256 * 257 // 2)
    products = np.einsum("ti,tj->ij", *[trajectories[0].astype(np.float64)] * 2) / 23
    squares = np.diag(products)
    kernel = np.exp(-(squares[:, None] + squares - 2 * products) / (2 * sigma**2)) + 1e-3 * np.eye(256)
    values, vectors = np.linalg.eigh(kernel)
    assert values[0] < 2e-3
    assert values[-1] > 100
    logarithm = vectors * np.log(values) @ vectors.T
    rows, columns = np.triu_indices(256)
    vector = logarithm[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))
    np.testing.assert_allclose(descriptors[0], vector / np.linalg.norm(vector), rtol=0, atol=1e-6)


@every_kind
def test_repeated_frames_change_nothing(x64, kind):
    """By construction: the mean over the frames is the same."""
    trajectories = np.nan_to_num(clips())
    once = temporal_correlation(trajectories, LENGTHS, kind=kind, sigma=SIGMA)
    thrice = temporal_correlation(np.repeat(trajectories, 3, axis=1), 3 * LENGTHS, kind=kind, sigma=SIGMA)
    np.testing.assert_allclose(thrice, once, rtol=0, atol=1e-10)


@every_kind
def test_the_order_of_frames_changes_nothing(x64, kind):
    trajectories, lengths = normal(4, 7, 9, 5), np.full(7, 9)
    once = temporal_correlation(trajectories, lengths, kind=kind, sigma=SIGMA)
    backwards = temporal_correlation(trajectories[:, ::-1].copy(), lengths, kind=kind, sigma=SIGMA)
    np.testing.assert_allclose(backwards, once, rtol=0, atol=1e-10)


HARD = {
    "constant": np.full((6, 5), 0.1),  # a mean of three is not 0.1
    "constants": np.broadcast_to(normal(5, 5), (6, 5)),
    "zero": np.zeros((6, 5)),
    "equal": np.repeat(normal(6, 6, 1), 5, axis=-1),
    "fewer frames": normal(7, 3, 5),
    "one frame": normal(8, 1, 5),
    "far away": 1e6 + normal(9, 6, 5),
}


@every_positive_definite_kind
@pytest.mark.parametrize("sigma", [0.7, 1e-3])
def test_s_is_positive_definite(kind, sigma):
    lengths = np.array([len(clip) for clip in HARD.values()])
    trajectories = np.stack([np.pad(clip, ((0, 9 - len(clip)), (0, 0))) for clip in HARD.values()])
    trajectories = trajectories.astype(np.float32)
    similarity = trajectory_similarity(trajectories, lengths, kind=kind, sigma=sigma)
    for name, matrix in zip(HARD, np.asarray(similarity), strict=True):
        assert (matrix == matrix.T).all(), name
        rounding = 1e-7 * np.abs(matrix).max()
        assert np.linalg.eigvalsh(matrix.astype(np.float64))[0] > 0.999e-3 - 5 * rounding, name
    descriptors = temporal_correlation(trajectories, lengths, kind=kind, sigma=sigma)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=-1), 1, rtol=1e-6)


def test_what_does_not_change_correlates_with_itself_only():
    trajectories = clips(np.float32)
    trajectories[:, :, 1] = 0.1
    matrix = trajectory_similarity(trajectories, LENGTHS, kind="correlation")[0]
    np.testing.assert_array_equal(matrix[1], np.array([0, 1.001, 0, 0, 0], np.float32))
    assert abs(matrix[0, 2]) > 0.1


def test_equal_trajectories_have_no_distance():
    trajectories = np.repeat(1e4 + normal(11, 7, 9, 1), 5, axis=-1).astype(np.float32)
    np.testing.assert_array_equal(temporal_correlation(trajectories, LENGTHS, kind="euclidean"), 0)
    similarity = trajectory_similarity(trajectories, LENGTHS, sigma=1.0)
    np.testing.assert_array_equal(similarity[0], np.float32(1) + 1e-3 * np.eye(5, dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@every_kind
def test_a_clip_that_is_not_finite_spoils_no_other(kind, bad):
    spoilt = clips(np.float32)
    spoilt[2, 3, 1] = bad
    descriptors = np.asarray(temporal_correlation(spoilt, LENGTHS, kind=kind, sigma=SIGMA))
    assert np.isnan(descriptors[2]).all()
    sound = temporal_correlation(clips(np.float32), LENGTHS, kind=kind, sigma=SIGMA)
    np.testing.assert_array_equal(np.delete(descriptors, 2, 0), np.delete(sound, 2, 0))
    assert np.isnan(trajectory_similarity(spoilt, LENGTHS, kind=kind, sigma=SIGMA)[2]).all()


@every_kind
def test_padding_and_batch_change_nothing(kind):
    together = temporal_correlation(clips(np.float32), LENGTHS, kind=kind, sigma=SIGMA)
    for clip in (1, 2):
        whole = clips(np.float32)[clip : clip + 1, : LENGTHS[clip]]
        alone = temporal_correlation(whole, LENGTHS[clip : clip + 1], kind=kind, sigma=SIGMA)
        np.testing.assert_allclose(alone[0], together[clip], rtol=0, atol=1e-7)


def test_under_jit_and_vmap():
    trajectories, lengths = jnp.asarray(clips(np.float32)), jnp.asarray(LENGTHS)

    def pool(trajectories, lengths, sigma):
        return temporal_correlation(trajectories, lengths, sigma=sigma)

    eager = pool(trajectories, lengths, SIGMA)
    jitted = jax.jit(pool)(trajectories, lengths, SIGMA)
    mapped = jax.jit(jax.vmap(pool, (0, 0, None)))(trajectories[:, None], lengths[:, None], SIGMA)
    assert eager.dtype == jitted.dtype == mapped.dtype == jnp.float32
    np.testing.assert_allclose(jitted, eager, rtol=0, atol=1e-7)
    np.testing.assert_allclose(mapped[:, 0], eager, rtol=0, atol=1e-7)


def test_a_length_of_zero_is_nan_where_it_is_not_known():
    pool = jax.jit(lambda lengths: temporal_correlation(jnp.ones((2, 3, 4)), lengths, sigma=1.0))
    nan = np.isnan(pool(jnp.array([0, 2]))).all(axis=1)
    np.testing.assert_array_equal(nan, [True, False])


def test_clips_spread_over_devices_stay_there():
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    over_clips = NamedSharding(mesh, PartitionSpec("batch"))
    trajectories, lengths = normal(12, 16, 5, 3).astype(np.float32), np.arange(16) % 5 + 1
    spread = [jax.device_put(array, over_clips) for array in (trajectories, lengths)]
    descriptors = temporal_correlation(*spread, sigma=SIGMA)
    assert descriptors.sharding.is_equivalent_to(over_clips, 2)
    on_one = temporal_correlation(trajectories, lengths, sigma=SIGMA)
    np.testing.assert_allclose(descriptors, on_one, rtol=0, atol=1e-7)


symmetric = arrays(np.float64, (4, 4), elements=st.floats(-2, 2, width=16)).map(lambda a: (a + a.T)[None])


@settings(max_examples=30, deadline=None)
@given(symmetric, symmetric)
def test_half_vectors_have_the_matrices_scalar_product(a, b):
    with jax.enable_x64(True):
        product = (half_vectorize(jnp.asarray(a)) * half_vectorize(jnp.asarray(b))).sum()
    np.testing.assert_allclose(product, (a * b).sum(), rtol=1e-12, atol=1e-12)


def test_half_vectors_are_read_row_by_row():
    matrix = jnp.array([[[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]])
    root = 2**0.5
    np.testing.assert_allclose(half_vectorize(matrix)[0], [1, 2 * root, 3 * root, 4, 5 * root, 6], rtol=1e-6)


def test_the_logarithm_undoes_the_exponential(x64):
    matrices = normal(13, 3, 4, 4)
    matrices += matrices.swapaxes(1, 2)
    exponential = jax.scipy.linalg.expm(jnp.asarray(matrices))
    np.testing.assert_allclose(matrix_logarithm(exponential, floor=1e-9), matrices, rtol=0, atol=1e-9)


def test_the_floor_of_eigenvalues(x64):
    matrix = jnp.array([[[1e-5, 0.0], [0.0, 2.0]]])
    np.testing.assert_allclose(matrix_logarithm(matrix)[0], np.diag(np.log([1e-3, 2])), atol=1e-12)


def test_the_median_distance_is_that_of_all_pairs(x64):
    trajectories = clips()
    distances = []
    for clip, length in zip(trajectories, LENGTHS, strict=True):
        matrix = oracles.trajectory_similarity(clip[:length], "euclidean")
        distances += [matrix[i, j] for i in range(5) for j in range(i)]
    assert median_distance(trajectories, LENGTHS) == pytest.approx(np.median(distances), rel=1e-9)


CLIPS = np.ones((2, 3, 4), np.float32) * np.arange(4, dtype=np.float32)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: temporal_correlation(CLIPS[0], np.array([3]), sigma=1.0),
         r"temporal_correlation: trajectories must have axes \(b, t, d\), got shape \(3, 4\)"),
        (lambda: temporal_correlation(CLIPS.astype(int), np.array([3, 3]), sigma=1.0),
         "trajectories must be floating point"),
        (lambda: temporal_correlation(CLIPS, np.array([3]), sigma=1.0),
         r"lengths must have shape \(2,\) \(one for each clip of trajectories of shape \(2, 3, 4\)\)"),
        (lambda: temporal_correlation(CLIPS, np.array([3.0, 2.0]), sigma=1.0),
         "lengths must be whole numbers, got float64"),
        (lambda: temporal_correlation(CLIPS, np.array([2, 0]), sigma=1.0),
         "lengths must be from 1 to the 3 frames of trajectories, got 0 for clip 1; leave out"),
        (lambda: temporal_correlation(CLIPS, np.array([4, 3]), sigma=1.0), "got 4 for clip 0"),
        (lambda: temporal_correlation(CLIPS, np.array([3, 3]), kind="dtw"),
         "kind must be one of 'rbf', 'euclidean', 'correlation', 'covariance', got 'dtw'"),
        (lambda: temporal_correlation(CLIPS, np.array([3, 3])),
         "sigma must be given for kind 'rbf'; take the training clips' median_distance"),
        (lambda: temporal_correlation(CLIPS, np.array([3, 3]), sigma=0.0),
         "sigma must be positive and finite, got 0.0"),
        (lambda: trajectory_similarity(CLIPS, np.array([3, 3]), kind="covariance"),
         "trajectory_similarity: sigma must be given for kind 'covariance'"),
        (lambda: trajectory_similarity(CLIPS, np.array([3, 3]), sigma=float("nan")),
         "sigma must be positive and finite, got nan"),
        (lambda: median_distance(CLIPS, np.array([3, 0])), "median_distance: lengths must be from 1 to"),
        (lambda: median_distance(np.full((2, 3, 4), np.nan), np.array([3, 3])),
         "trajectories must be finite, got NaN or infinity in 2 clips, the first is clip 0"),
        (lambda: median_distance(np.ones((2, 3, 4)), np.array([3, 3])), "the median distance is 0"),
        (lambda: median_distance(np.ones((2, 3, 1)), np.array([3, 3])),
         r"must have a clip and two features, got shape \(2, 3, 1\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
