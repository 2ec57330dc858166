"""A confusion matrix shows the share of each class's clips, by name."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from geoattn_jax.figures import confusion_matrix

COUNTS = np.array([[3, 0, 1], [0, 0, 0], [2, 5, 993]])
NAMES = ["cut", "$wash", "open drawer"]


def test_rows_are_shares_of_the_true_class(tmp_path):
    figure = confusion_matrix(tmp_path / "confusion.png", COUNTS, NAMES)
    axes = figure.axes[0]
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares[[0, 2]], [[75, 0, 25], [0.2, 0.5, 99.3]])
    assert np.ma.getmaskarray(shares)[1].all() or np.isnan(shares[1]).all()
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES


def test_cells_have_numbers_that_can_be_read(tmp_path):
    axes = confusion_matrix(tmp_path / "confusion.png", COUNTS, NAMES).axes[0]
    cells = {(int(text.get_position()[1]), int(text.get_position()[0])): text for text in axes.texts}
    assert {place: text.get_text() for place, text in cells.items()} == {
        (0, 0): "75", (0, 2): "25", (2, 2): "99",
    }  # fmt: skip
    for (row, column), text in cells.items():
        cell = axes.images[0].to_rgba(axes.images[0].get_array())[row, column, :3]
        assert abs(np.mean(cell) - np.mean(to_rgb(text.get_color()))) > 0.4


@pytest.mark.parametrize(("classes", "numbers"), [(1, 1), (20, 20), (21, 0), (65, 0)])
def test_of_many_classes_the_colours_alone_are_shown(tmp_path, classes, numbers):
    names = [f"class {number}" for number in range(classes)]
    figure = confusion_matrix(tmp_path / "confusion.png", np.eye(classes, dtype=int), names)
    assert len(figure.axes[0].texts) == numbers
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= 0
