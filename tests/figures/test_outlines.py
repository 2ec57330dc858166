"""Outlines are where the corners are, in the colour of their name."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from geoattn_jax.figures import region_outlines


def test_an_outline_runs_along_its_corners(tmp_path):
    path = tmp_path / "outlines.png"
    box = np.array([[3.0, 4.0], [3.0, 12.0], [9.0, 12.0], [9.0, 4.0]])
    figure = region_outlines(path, np.ones((12, 16, 3)), {"guided": box, "joint": box + 2})
    names = {text.get_text(): to_rgb(text.get_color()) for text in figure.texts}
    assert list(names) == ["guided", "joint"]
    assert names["guided"] != names["joint"]
    page = imread(path)[..., :3]
    (axes,) = figure.axes
    zoom = 40  # 640 pixels for 16

    def at(y, x):
        """The page's colour at a place of the frame."""
        column, row = axes.transData.transform((x, y))
        return page[round(len(page) - row), round(column)]

    assert axes.get_window_extent().width == 16 * zoom
    for corner in [(3, 8), (9, 8), (6, 4), (6, 12)]:
        np.testing.assert_allclose(at(*corner), names["guided"], atol=0.05)
    np.testing.assert_allclose(at(11, 9), names["joint"], atol=0.05)
    np.testing.assert_allclose(at(4, 5), 1.0)  # inside the first only: the frame


def test_what_lies_outside_is_not_drawn(tmp_path):
    inside, outside = tmp_path / "inside.png", tmp_path / "outside.png"
    frame = np.full((5, 7, 3), 0.5)
    far = np.array([[-30.0, -20.0], [-30.0, -10.0], [-20.0, -10.0], [-20.0, -20.0]])
    figure = region_outlines(outside, frame, {"far": far})
    near = region_outlines(inside, frame, {"far": np.array([[1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [3.0, 1.0]])})
    assert figure.axes[0].get_xlim() == near.axes[0].get_xlim() == (-0.5, 6.5)
    left, right = (round(edge) for edge in figure.axes[0].get_window_extent().intervalx)
    panel = imread(outside)[10:-10, left + 2 : right - 2, :3]
    np.testing.assert_allclose(panel, 0.5, atol=0.01)
