"""The files of all figures: their size, that they are reproducible, and that they appear at once."""

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from geoattn_jax import figures
from geoattn_jax.figures import canvas

RNG = np.random.default_rng(0)
FRAME = RNG.uniform(size=(12, 17))
COLOUR = RNG.uniform(size=(12, 17, 3))
VIDEO = RNG.integers(0, 256, (3, 12, 17, 3), np.uint8)
DRAW = {
    "sample_sequences": lambda path: figures.sample_sequences(path, {"normal": np.stack([FRAME] * 3)}),
    "transformer_pairs": lambda path: figures.transformer_pairs(
        path, {"normal": FRAME}, {"normal": FRAME[:5]}
    ),
    "elastic": lambda path: figures.elastic(path, FRAME, np.stack([FRAME, -FRAME], -1), FRAME[::-1]),
    "sampling_points": lambda path: figures.sampling_points(
        path, FRAME, np.array([[3, 8]]), np.array([[[2.5, 7.5], [4.0, 20.0]]])
    ),
    "attended_regions": lambda path: figures.attended_regions(path, {"sstn": {"small": COLOUR}}),
    "region_outlines": lambda path: figures.region_outlines(
        path, COLOUR, {"sstn": np.array([[-9.0, 2.0], [4.0, 9.0], [8.0, 30.0], [3.0, 3.0]])}
    ),
    "annotated_strip": lambda path: figures.annotated_strip(
        path,
        VIDEO,
        {"detail": np.tile([[-9.0, 2.0], [4.0, 9.0], [8.0, 30.0], [3.0, 3.0]], (3, 1, 1))},
        ["wash"],
    ),
    "level_crops": lambda path: figures.level_crops(
        path, {"bar": {"detail": COLOUR}}, {"bar": {"detail": np.array([2.0, 5.0])}}, (4, 30)
    ),
    "motion_window": lambda path: figures.motion_window(path, COLOUR, FRAME, np.array([2.0, 5.5]), (4, 7)),
    "confusion_matrix": lambda path: figures.confusion_matrix(
        path, np.array([[3, 0, 1], [0, 0, 0], [2, 5, 9]]), ["cut slices", "$_{wash", "open the drawer"]
    ),
    "learning_curves": lambda path: figures.learning_curves(
        path, {"lenet": (np.arange(17), FRAME[0])}, ylabel="accuracy"
    ),
}
every_figure = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)


def test_every_function_is_here():
    assert sorted(DRAW) == figures.__all__


@every_figure
def test_the_file_is_a_png_of_the_figures_size(tmp_path, draw):
    path = tmp_path / "new" / "folder" / "figure.png"
    figure = draw(path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    width, height = figure.get_size_inches() * figure.dpi
    page = imread(path)
    assert page.shape == (height, width, 4)
    assert (page[0] == 1).all(), "the margin is white and opaque"
    assert list(path.parent.iterdir()) == [path]


@every_figure
def test_everything_drawn_is_on_the_page(tmp_path, draw):
    figure = draw(tmp_path / "figure.png")
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@every_figure
def test_equal_inputs_give_equal_files(tmp_path, draw):
    """Under other settings of the user's too, which come back afterwards."""
    draw(tmp_path / "first.png")
    with matplotlib.rc_context(
        {
            "font.size": 31,
            "savefig.dpi": 50,
            "savefig.bbox": "tight",
            "axes.facecolor": "black",
            "lines.marker": "x",
        }
    ):
        draw(tmp_path / "second.png")
        assert matplotlib.rcParams["font.size"] == 31
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@every_figure
def test_other_kinds_of_files_are_refused(tmp_path, draw):
    with pytest.raises(ValueError, match=r"path must end in '\.png', got .*figure\.pdf"):
        draw(tmp_path / "figure.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_drawing_leaves_the_old_file(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half-way"), canvas.png(path, width=40, height=30):
        raise RuntimeError("half-way")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path):
    path = tmp_path / "figure.png"
    path.mkdir()
    with pytest.raises(OSError, match=r"figure\.png"), canvas.png(path, width=40, height=30):
        pass
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [(1, 1), (37, 41), (1447, 699), (4999, 3)])
def test_pages_have_the_size_asked_for(tmp_path, size):
    width, height = size
    with canvas.png(tmp_path / "page.png", width=width, height=height):
        pass
    assert imread(tmp_path / "page.png").shape == (height, width, 4)
