"""Curves are drawn as given, each with a look and a name of its own."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geoattn_jax.figures import learning_curves

STEPS = np.arange(0, 500, 5)
LOSS = np.exp(-STEPS / 90)


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_lines_are_the_curves(tmp_path):
    curves = {"lenet": (STEPS, LOSS), "dcn": (np.array([3, 9, 9]), np.array([2.5, 1.5, 1.0], np.float32))}
    figure = learning_curves(
        tmp_path / "curves.png", curves, ylabel="loss", xlabel="minutes", title="Pretraining"
    )
    (axes,) = figure.axes
    assert len(axes.lines) == 2
    for line, (steps, values) in zip(axes.lines, curves.values(), strict=True):
        assert_array_equal(line.get_xdata(), steps)
        assert_array_equal(line.get_ydata(), values)
    assert legend(figure) == ["lenet", "dcn"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("minutes", "loss", "Pretraining")


def test_a_single_point_is_seen(tmp_path):
    curves = {"long": (STEPS, LOSS), "single": (np.array([7.5]), np.array([0.3]))}
    figure = learning_curves(tmp_path / "curves.png", curves, ylabel="loss")
    long, single = figure.axes[0].lines
    assert long.get_marker() == "None"
    assert single.get_marker() == "o"


def test_the_axes_hold_what_is_finite(tmp_path):
    values = LOSS.copy()
    values[40:45], values[70] = np.nan, np.inf
    curves = {"diverging": (STEPS, values), "diverged": (STEPS, np.full(STEPS.shape, np.nan))}
    figure = learning_curves(tmp_path / "curves.png", curves, ylabel="loss")
    low, high = figure.axes[0].get_ylim()
    assert -0.1 < low < LOSS.min()
    assert LOSS.max() < high < 1.1


@pytest.mark.parametrize(("unit", "fractions"), [(1, False), (0.1, True)])
def test_whole_steps_have_whole_ticks(tmp_path, unit, fractions):
    curves = {"lenet": (unit * np.arange(1, 21), LOSS[:20])}
    figure = learning_curves(tmp_path / "curves.png", curves, ylabel="loss")
    ticks = figure.axes[0].get_xticks()
    assert (np.mod(ticks, 1) != 0).any() == fractions


def test_every_curve_looks_different(tmp_path):
    curves = {f"seed {seed}": (STEPS, LOSS * seed) for seed in range(20)}
    figure = learning_curves(tmp_path / "curves.png", curves, ylabel="loss")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 20
    assert figure.legends[0].get_window_extent().y0 >= 0


def test_names_are_drawn_as_given(tmp_path):
    curves = {"_hidden": (STEPS, LOSS), "a_b": (STEPS, 2 * LOSS)}
    figure = learning_curves(tmp_path / "curves.png", curves, ylabel="loss")
    assert legend(figure) == ["_hidden", "a_b"]
