"""Windows are drawn around the pixels that they hold."""

import numpy as np
import pytest
from matplotlib.image import imread

from geoattn_jax.figures import level_crops, motion_window

YELLOW = np.array([0xF0, 0xE4, 0x42]) / 255


def page_at(path, axes, y, x):
    """The page's colour at a place of a panel's image."""
    page = imread(path)[..., :3]
    column, row = axes.transData.transform((x, y))
    return page[round(len(page) - row), round(column)]


def test_the_window_is_on_the_frame_and_on_the_map(tmp_path):
    path = tmp_path / "motion.png"
    motion = np.zeros((12, 16))
    motion[3:7, 5:8] = 2.5
    figure = motion_window(path, np.full((12, 16, 3), 0.5), motion, np.array([3.0, 5.0]), (4, 3))
    frame, shown = figure.axes
    np.testing.assert_array_equal(np.asarray(shown.images[0].get_array()), motion)
    assert [text.get_text() for text in figure.texts] == ["frame", "motion, up to 2.5 px² per frame"]
    for axes in (frame, shown):
        for y, x in [(2.5, 6), (6.5, 6), (5, 4.5), (5, 7.5)]:
            np.testing.assert_allclose(page_at(path, axes, y, x), YELLOW, atol=0.05)
    np.testing.assert_allclose(page_at(path, frame, 5, 6), 0.5, atol=0.01)
    assert page_at(path, shown, 5, 6)[1] > page_at(path, shown, 9, 12)[1] + 0.3  # bright where the motion is


def test_classes_run_down_and_levels_to_the_right(tmp_path):
    path = tmp_path / "levels.png"
    sizes = {"detail": (8, 8), "general": (5, 5)}
    crops = {
        name: {level: np.full((*hw, 3), grey) for level, hw in sizes.items()}
        for name, grey in (("bar", 0.25), ("disc", 0.75), ("plain", 0.5))
    }
    corners = {name: dict.fromkeys(sizes, np.array([0.0, 1.0])) for name in crops}
    figure = level_crops(path, crops, corners, (2, 3))
    assert [text.get_text() for text in figure.texts] == ["detail", "general", "bar", "disc", "plain"]
    boxes = np.array([axes.get_window_extent().extents for axes in figure.axes]).reshape(3, 2, 4)
    assert (boxes[:, 1, 0] > boxes[:, 0, 2]).all()
    assert (boxes[1:, :, 3] < boxes[:-1, :, 1]).all()
    for axes, name in zip(figure.axes, ["bar", "bar", "disc", "disc", "plain", "plain"], strict=True):
        grey = crops[name]["detail"][0, 0]
        np.testing.assert_allclose(page_at(path, axes, 4, 2), grey, atol=0.01)
        np.testing.assert_allclose(page_at(path, axes, 1.5, 2), YELLOW, atol=0.05)


@pytest.mark.parametrize("corner", [(-1.0, 0.0), (4.0, 5.0)])
def test_a_window_beyond_the_frame_does_not_widen_the_page(tmp_path, corner):
    frame, motion = np.full((6, 9, 3), 0.5), np.ones((6, 9))
    figure = motion_window(tmp_path / "motion.png", frame, motion, np.array(corner), (4, 5))
    for axes in figure.axes:
        assert axes.get_xlim() == (-0.5, 8.5)
        assert axes.get_ylim() == (5.5, -0.5)
