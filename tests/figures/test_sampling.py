"""Output pixels and the positions they read are where they were said to be."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from geoattn_jax.figures import sampling, sampling_points

HW = (20, 32)
CENTRES = np.array([[4, 9], [13, 25], [16, 2]])
TAPS = np.array([[-3.0, -2.0], [-3.0, 2.5], [2.0, -2.0], [2.5, 3.0]])
FRAME = np.random.default_rng(0).uniform(size=HW)


def marks(figure) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each output pixel (1, 2) and its positions (k, 2), as (y, x)."""
    lines = [np.stack([line.get_ydata(), line.get_xdata()], axis=-1) for line in figure.axes[0].lines]
    return list(zip(lines[::2], lines[1::2], strict=True))


def colour_at(page, axes, y: float, x: float) -> np.ndarray:
    right, up = axes.transData.transform((x, y))
    return page[len(page) - 1 - int(up), int(right), :3]


def note(figure) -> str:
    (text,) = figure.texts
    return text.get_text()


def test_marks_are_what_was_given(tmp_path):
    points = CENTRES[:, None] + TAPS
    figure = sampling_points(tmp_path / "points.png", FRAME, CENTRES, points)
    drawn = marks(figure)
    assert len(drawn) == 3
    for (square, dots), centre, positions in zip(drawn, CENTRES, points, strict=True):
        np.testing.assert_array_equal(square, [centre])
        np.testing.assert_array_equal(dots, positions)
    assert note(figure) == "squares: output pixels; dots: the 4 positions that each reads"


def test_dots_of_each_output_pixel_have_its_colour_on_the_page(tmp_path):
    path = tmp_path / "points.png"
    points = CENTRES[:, None] + TAPS
    figure = sampling_points(path, FRAME, CENTRES, points)
    page, axes = imread(path), figure.axes[0]
    for positions, colour in zip(points, sampling.COLOURS, strict=False):
        for y, x in positions:
            np.testing.assert_allclose(colour_at(page, axes, y, x), to_rgb(colour), atol=0.01)


def test_image_pixels_lie_at_their_coordinates(tmp_path):
    path = tmp_path / "points.png"
    figure = sampling_points(path, FRAME, np.array([[0, 0]]), np.array([[[-2.3, -3.8]]]))
    page, axes = imread(path), figure.axes[0]
    for y, x in [(3, 5), (3.4, 4.6), (19, 31), (12, 30.6)]:
        expected = FRAME[round(y), round(x)]
        np.testing.assert_allclose(colour_at(page, axes, y, x), expected, atol=2 / 255)
    assert note(figure).endswith("the position that each reads")


@pytest.mark.parametrize(
    ("point", "xlim", "ylim"),
    [
        ((6, 7), (-0.5, 31.5), (19.5, -0.5)),
        ((-2.5, 7), (-0.5, 31.5), (19.5, -3.5)),
        ((21.2, -1), (-1.5, 31.5), (22.5, -0.5)),
        ((6, 39), (-0.5, 39.5), (19.5, -0.5)),
        ((-8.4, 7), (-0.5, 31.5), (19.5, -8.5)),
    ],
)
def test_the_view_holds_positions_beyond_the_frame(tmp_path, point, xlim, ylim):
    points = np.array([[[6, 7], point]], float)
    path = tmp_path / "points.png"
    figure = sampling_points(path, FRAME, np.array([[6, 7]]), points)
    axes = figure.axes[0]
    assert axes.get_xlim() == xlim
    assert axes.get_ylim() == ylim
    assert "farther" not in note(figure)
    box = axes.get_window_extent()
    np.testing.assert_allclose(box.width / (xlim[1] - xlim[0]), box.height / (ylim[0] - ylim[1]))


def test_positions_too_far_out_are_counted(tmp_path):
    points = CENTRES[:, None] + TAPS
    points[0, 1] = -1e6, 3
    points[2, 0] = 4, 40
    points[2, 3] = 4, 41
    figure = sampling_points(tmp_path / "points.png", FRAME, CENTRES, points)
    assert note(figure).endswith("3 of 12 lie farther out")
    assert figure.axes[0].get_xlim() == (-0.5, 39.5)
    assert figure.axes[0].get_ylim() == (19.5, -8.5)


def test_the_note_fits_above_a_narrow_frame(tmp_path):
    figure = sampling_points(
        tmp_path / "points.png", FRAME[:, :3], np.array([[6, 1]]), np.full((1, 2, 2), 1e3)
    )
    box = figure.texts[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= figure.bbox.height
    assert box.y0 >= figure.axes[0].get_window_extent().y1
