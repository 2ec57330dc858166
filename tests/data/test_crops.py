"""Crops lie where they are said to, mirrored flows point where mirrored things go."""

import jax
import numpy as np
import pytest

from geoattn_jax.data.crops import centre_crops, crop, random_crops
from geoattn_jax.data.levels import LEVEL_NAMES, LEVELS, PAPER_LEVELS


def video(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", LEVEL_NAMES)
def test_kitchen_minis_sizes_are_table_1_divided_by_seven(name):
    mini, paper = LEVELS[name], PAPER_LEVELS[name]
    assert (mini.name, mini.max_pool) == (paper.name, paper.max_pool)
    for sizes in ("frame_hw", "crop_hw", "window_hw"):
        assert getattr(mini, sizes) == tuple(round(size / 7) for size in getattr(paper, sizes))


@pytest.mark.parametrize("level", [LEVELS["general"], PAPER_LEVELS["detail"]])
def test_random_crops_lie_anywhere_along_the_longer_side(level):
    top_left = np.asarray(random_crops(jax.random.key(0), level, 4000))
    assert top_left.shape == (4000, 2)
    assert (top_left[:, 0] == 0).all()
    assert top_left[:, 1].min() == 0
    assert top_left[:, 1].max() == level.frame_hw[1] - level.crop_hw[1]


def test_centre_crops_leave_as_much_on_both_sides():
    for level in (*LEVELS.values(), *PAPER_LEVELS.values()):
        ((y, left),) = np.asarray(centre_crops(level, 1))
        right = level.frame_hw[1] - level.crop_hw[1] - left
        assert y == 0
        assert 0 <= right - left <= 1


@pytest.mark.parametrize("leading", [(), (4,), (2, 5)])
def test_a_crop_is_a_slice_of_each_frame(leading):
    frames = video(0, 3, *leading, 7, 11, 2)
    top_left = np.array([[0, 4], [2, 0], [1, 6]], np.int32)
    cropped = jax.jit(crop, static_argnums=2)(frames, top_left, (5, 4))
    for one, (y, x), result in zip(frames, top_left, cropped, strict=True):
        np.testing.assert_array_equal(result, one[..., y : y + 5, x : x + 4, :])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("crop_hw", "said"),
    [
        ((8, 4), r"crop: crop_hw must fit into frames of \(7, 11\) pixels, got \(8, 4\); scale"),
        ((4, 12), r"crop: crop_hw must fit into frames of \(7, 11\) pixels, got \(4, 12\); scale"),
        ((4, 0), r"crop: crop_hw must be two whole numbers \(y, x\), each at least 1, got \(4, 0\)"),
    ],
)
def test_crops_that_do_not_fit_are_refused(crop_hw, said):
    with pytest.raises(ValueError, match=said):
        crop(video(0, 3, 7, 11, 2), np.zeros((3, 2), np.int32), crop_hw)
