"""Regions are those of a slow search over all windows, on any picture, with ties and at float32's limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax import affine_grid, bilinear_sample, crop_theta
from geoattn_jax.data.levels import Level
from geoattn_jax.data.regions import best_window, best_window_on_host, best_windows, motion_map, window_sums

search = jax.jit(best_window, static_argnums=1)


def uniform(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def slow_sums(motion: np.ndarray, window_hw: tuple[int, int]) -> np.ndarray:
    height, width = window_hw
    rows, columns = (size - window + 1 for size, window in zip(motion.shape, window_hw, strict=True))
    sums = np.empty((rows, columns))
    for y, x in np.ndindex(rows, columns):
        sums[y, x] = motion[y : y + height, x : x + width].astype(np.float64).sum()
    return sums


def slow_best(motion: np.ndarray, window_hw: tuple[int, int]) -> tuple[int, int]:
    """Exact for whole numbers: the most motion, then nearest to its centre, then first."""
    weights = motion.astype(np.float64) if motion.any() else np.ones(motion.shape)
    centre = [(weights * places).sum() / weights.sum() for places in np.indices(motion.shape)]
    sums = slow_sums(motion, window_hw)
    best = None
    for y, x in np.ndindex(sums.shape):
        middle = y + (window_hw[0] - 1) / 2, x + (window_hw[1] - 1) / 2
        distance = sum((here - there) ** 2 for here, there in zip(middle, centre, strict=True))
        if best is None or (-sums[y, x], round(distance, 4)) < best[0]:
            best = (-sums[y, x], round(distance, 4)), (y, x)
    return best[1]


SIZES = [
    ((7, 11), (2, 5)),
    ((6, 9), (6, 9)),
    ((8, 5), (1, 1)),
    ((5, 8), (5, 3)),
]


@pytest.mark.parametrize(("hw", "window_hw"), SIZES)
def test_windows_are_the_slow_searchs(hw, window_hw):
    motion = uniform(0, 3, *hw)
    sums = jax.jit(window_sums, static_argnums=1)(motion, window_hw)
    top_left = search(motion, window_hw)
    assert top_left.dtype == jnp.float32
    for one, one_sums, window in zip(motion, sums, top_left, strict=True):
        np.testing.assert_allclose(one_sums, slow_sums(one, window_hw), rtol=1e-5)
        assert tuple(window) == slow_best(one, window_hw)


@pytest.mark.parametrize(("hw", "window_hw"), [*SIZES, ((60, 47), (20, 9))])
def test_on_the_host_the_same_windows_are_found(hw, window_hw):
    pytest.importorskip("cv2", reason="needs geoattn-jax[video]")
    still, square = np.zeros((2, 1, *hw), np.float32)  # all windows are equal; some are
    square[:, 1:3, 2:4] = 7
    motion = np.concatenate([uniform(0, 4, *hw), uniform(1, 2, *hw).round(), 1e6 * still + square, still])
    expected = search(motion, window_hw)
    for one, window in zip(motion, expected, strict=True):
        found = best_window_on_host(one, window_hw)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, window)


@pytest.mark.parametrize(("hw", "window_hw"), SIZES)
def test_ties_are_told_apart_as_documented(hw, window_hw):
    rng = np.random.default_rng(1)
    motion = (rng.uniform(size=(20, *hw)) < 0.15).astype(np.float32)  # few windows hold the most alone
    motion[0] = 0
    for one, window in zip(motion, search(motion, window_hw), strict=True):
        assert tuple(window) == slow_best(one, window_hw)


def test_a_window_larger_than_what_moves_is_laid_around_it():
    motion = np.zeros((2, 12, 20), np.float32)
    motion[0, 3:6, 9:13] = 2.5
    motion[1, 5:7, 0:2] = 0.1  # the window ends where the picture does
    np.testing.assert_array_equal(search(motion, (7, 10)), [[1, 6], [2, 0]])


def test_without_motion_the_window_is_in_the_middle():
    np.testing.assert_array_equal(search(np.zeros((1, 9, 15), np.float32), (3, 5)), [[3, 5]])


def test_windows_of_full_camera_frames_are_right_in_float32():
    """A fast part next to a slow one: an integral image of the whole picture would lose the slow one."""
    motion = uniform(2, 1, 1224, 1624) * 1e-3
    motion[:, :600, :] += 400
    sums = np.asarray(window_sums(jnp.asarray(motion), (224, 224)))[0]
    integral = np.pad(np.cumsum(np.cumsum(motion[0].astype(np.float64), 0), 1), ((1, 0), (1, 0)))
    expected = integral[224:, 224:] - integral[:-224, 224:] - integral[224:, :-224] + integral[:-224, :-224]
    naive = np.pad(np.cumsum(np.cumsum(motion[0], 0), 1), ((1, 0), (1, 0)))
    naive = naive[224:, 224:] - naive[:-224, 224:] - naive[224:, :-224] + naive[:-224, :-224]
    error = np.abs(sums - expected).max() / expected.max()
    assert error < 2e-6
    assert np.abs(naive - expected).max() / expected.max() > 5 * error


def region_theta(motion, window_hw):
    """theta_2."""
    return crop_theta(best_window(motion, window_hw), window_hw, input_hw=motion.shape[1:])


@pytest.mark.parametrize(("hw", "window_hw"), SIZES)
def test_theta_2_reads_exactly_the_window(hw, window_hw):
    motion, image = uniform(3, 4, *hw), uniform(4, 4, *hw, 3)

    @jax.jit
    def read(motion, image):
        coords = affine_grid(region_theta(motion, window_hw), input_hw=hw, output_hw=window_hw)
        return bilinear_sample(image, coords)

    windows = search(motion, window_hw)
    for one, region, (y, x) in zip(image, read(motion, image), windows, strict=True):
        y, x = int(y), int(x)
        np.testing.assert_allclose(region, one[y : y + window_hw[0], x : x + window_hw[1]], atol=1e-5)


def test_theta_2_has_the_papers_scale_at_each_level():
    for crop, scale in ((896, 0.25), (448, 0.5), (256, 0.875)):
        (theta,) = jax.jit(region_theta, static_argnums=1)(np.ones((1, crop, crop), np.float32), (224, 224))
        np.testing.assert_allclose(theta, [[scale, 0, 0], [0, scale, 0]], atol=1e-6)


def test_every_crop_has_a_window_of_its_own():
    level = Level("detail", frame_hw=(9, 15), crop_hw=(9, 11), window_hw=(3, 4), max_pool=1)
    motion = jnp.asarray(uniform(8, 2, 9, 15))
    windows = best_windows(motion, level)
    assert windows.shape == (2, 5, 2)
    for left in range(5):
        np.testing.assert_array_equal(windows[:, left], best_window(motion[:, :, left : left + 11], (3, 4)))


def test_the_motion_map_is_equation_2():
    flow = uniform(5, 2, 4, 5, 7, 2) - 0.5
    expected = np.zeros((2, 5, 7))
    for b, t, y, x in np.ndindex(flow.shape[:-1]):
        expected[b, y, x] += (float(flow[b, t, y, x, 0]) ** 2 + float(flow[b, t, y, x, 1]) ** 2) / 4
    np.testing.assert_allclose(motion_map(jnp.asarray(flow)), expected, rtol=1e-5)
    assert motion_map(jnp.asarray(flow, jnp.bfloat16)).dtype == jnp.float32


def test_in_float64(x64):
    motion = motion_map(jnp.asarray(uniform(6, 2, 3, 7, 9, 2), jnp.float64))
    assert motion.dtype == region_theta(motion, (2, 3)).dtype == jnp.float64


def test_under_jit_and_vmap():
    flow = jnp.asarray(uniform(7, 3, 2, 4, 7, 9, 2))

    def theta(flow):
        return region_theta(motion_map(flow), (3, 4))

    expected = [jax.jit(theta)(one) for one in flow]
    np.testing.assert_array_equal(jax.jit(jax.vmap(theta))(flow), expected)


MOTION = jnp.ones((2, 5, 7))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: motion_map(jnp.ones((2, 5, 7, 2))), r"motion_map: flow must have axes \(b, t, h, w, 2\)"),
        (lambda: motion_map(jnp.ones((2, 3, 5, 7, 3))), r"flow must have shape \(2, 3, 5, 7, 2\) \(dy and"),
        (lambda: motion_map(jnp.ones((2, 0, 5, 7, 2))), r"flow must hold at least one flow, got shape \(2,"),
        (lambda: motion_map(jnp.ones((2, 3, 5, 7, 2), jnp.int32)), "flow must be floating point, got int32"),
        (lambda: best_window(MOTION[0], (2, 3)), r"best_window: motion must have axes \(b, h, w\)"),
        (lambda: best_window(MOTION, (6, 3)), r"window_hw must fit into motion of \(5, 7\) .*got \(6, 3\)"),
        (lambda: window_sums(MOTION, (2, 8)), r"window_sums: window_hw must fit into motion of \(5, 7\)"),
        (lambda: best_window(MOTION, (0, 3)), r"window_hw must be two whole numbers .* got \(0, 3\)"),
        (lambda: best_window(MOTION, 3), r"window_hw must be two whole numbers .* got 3"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
