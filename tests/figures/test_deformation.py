"""Arrows of the elastic field point and reach where the field says."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from matplotlib.quiver import Quiver

from geoattn_jax.figures import canvas, elastic


def grey(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape)


def colour_at(page, axes, y: float, x: float) -> np.ndarray:
    """The page's colour at a position given in pixels of the image."""
    right, up = axes.transData.transform((x, y))
    return page[len(page) - 1 - int(up), int(right), :3]


def is_arrow(page, axes, y: float, x: float) -> bool:
    colour = colour_at(page, axes, y, x)
    white, blue = np.ones(3), np.array(to_rgb(canvas.COLOURS[0]))
    return np.abs(colour - blue).sum() < np.abs(colour - white).sum()


@pytest.mark.parametrize(
    ("dy", "dx", "touched", "untouched"),
    [
        (3, 0, [(3.5, 4), (5.5, 4)], [(2.5, 4), (6.5, 4), (4.5, 4.6)]),
        (-2, 0, [(2.5, 4), (1.5, 4)], [(3.5, 4), (0.5, 4)]),
        (0, 3, [(3, 4.5), (3, 6.5)], [(3, 3.5), (3, 7.5)]),
        (0, -2, [(3, 3.5), (3, 2.5)], [(3, 4.5), (3, 1.5)]),
        (1.5, -1.5, [(3.6, 3.4), (4.3, 2.7)], [(2.5, 4.5), (3.5, 4.5), (2.5, 3.5), (4.9, 2.1)]),
    ],
)
def test_an_arrow_leads_to_position_plus_field(tmp_path, dy, dx, touched, untouched):
    """Between the pixels' centres, where arrows of no length leave a dot."""
    field = np.zeros((8, 9, 2))
    field[3, 4] = dy, dx
    path = tmp_path / "elastic.png"
    figure = elastic(path, grey(0, 8, 9), field, grey(1, 8, 9))
    page, axes = imread(path), figure.axes[1]
    assert [is_arrow(page, axes, *position) for position in touched] == [True] * len(touched)
    assert [is_arrow(page, axes, *position) for position in untouched] == [False] * len(untouched)


def test_arrows_are_the_field_at_every_fourth_pixel(tmp_path):
    field = np.random.default_rng(0).normal(size=(48, 64, 2)).astype(np.float32)
    figure = elastic(tmp_path / "elastic.png", grey(0, 48, 64), field, grey(1, 48, 64))
    (arrows,) = (artist for artist in figure.axes[1].collections if isinstance(artist, Quiver))
    np.testing.assert_array_equal(arrows.Y.reshape(12, 16)[:, 0], np.arange(2, 48, 4))
    np.testing.assert_array_equal(arrows.X.reshape(12, 16)[0], np.arange(2, 64, 4))
    np.testing.assert_array_equal(arrows.V.reshape(12, 16), field[2::4, 2::4, 0])
    np.testing.assert_array_equal(arrows.U.reshape(12, 16), field[2::4, 2::4, 1])
    longest = np.linalg.norm(field, axis=-1).max()
    assert f"every 4 px, up to {longest:.1f} px long" in figure.texts[-1].get_text()


def test_the_images_stand_left_and_right_of_the_field_in_its_size(tmp_path):
    image, deformed = grey(0, 5, 9), grey(1, 5, 9)
    figure = elastic(tmp_path / "elastic.png", image, np.ones((5, 9, 2)), deformed)
    left, middle, right = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), image)
    np.testing.assert_array_equal(right.images[0].get_array(), deformed)
    titles = [text.get_text() for text in figure.texts[:3]]
    assert titles == ["original", "elastic field", "deformed"]
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert boxes[0].x1 < boxes[1].x0 < boxes[1].x1 < boxes[2].x0
    for box, axes in zip(boxes, figure.axes, strict=True):
        np.testing.assert_allclose((box.height, box.width), (5 * 43, 9 * 43), atol=1e-6)
        assert axes.get_xlim() == (-0.5, 8.5)
        assert axes.get_ylim() == (4.5, -0.5)
    assert middle.get_ylim() == left.get_ylim()


def test_text_fits_beside_narrow_images(tmp_path):
    figure = elastic(tmp_path / "elastic.png", grey(0, 50, 3), np.ones((50, 3, 2)), grey(1, 50, 3))
    boxes = [text.get_window_extent() for text in figure.texts]
    original, _, deformed = (axes.get_window_extent() for axes in figure.axes)
    note = boxes[-1]
    assert original.x1 < note.x0 < note.x1 < deformed.x0
    assert boxes[0].x1 < boxes[1].x0 < boxes[1].x1 < boxes[2].x0
    assert note.y0 >= 0
    assert boxes[0].y1 <= figure.bbox.height
