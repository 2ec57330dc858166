"""Bad input: an error that names the argument, what came and what was expected; nothing is written."""

import re

import numpy as np
import pytest

from geoattn_jax import figures

pytestmark = pytest.mark.usefixtures("unchecked")


def grey(*shape: int) -> np.ndarray:
    return np.full(shape, 0.5)


# Right calls. Each bad one below replaces one of these arguments.
RIGHT = {
    "sample_sequences": {"videos": {"normal": grey(4, 5, 7), "rotation": grey(4, 5, 7)}},
    "transformer_pairs": {
        "inputs": {"normal": grey(5, 7), "rotation": grey(5, 7)},
        "outputs": {"normal": grey(3, 4), "rotation": grey(3, 4)},
    },
    "elastic": {"image": grey(5, 7), "field": grey(5, 7, 2), "deformed": grey(5, 7)},
    "sampling_points": {"frame": grey(5, 7), "centres": np.array([[1, 6], [4, 2]]), "points": grey(2, 3, 2)},
    "learning_curves": {"curves": {"lenet": (np.arange(4), grey(4))}, "ylabel": "loss"},
    "confusion_matrix": {"counts": np.eye(3, dtype=int), "class_names": ["bar", "disc", "none"]},
    "attended_regions": {"regions": {"sstn": {"small": grey(5, 7, 3)}, "stn": {"small": grey(5, 7, 3)}}},
    "motion_window": {
        "frame": grey(5, 7, 3),
        "motion": grey(5, 7),
        "top_left": np.array([1.0, 2.0]),
        "window_hw": (3, 4),
    },
    "level_crops": {
        "crops": {"bar": {"detail": grey(5, 7, 3)}, "disc": {"detail": grey(5, 7, 3)}},
        "top_left": {"bar": {"detail": np.zeros(2)}, "disc": {"detail": np.zeros(2)}},
        "window_hw": (3, 4),
    },
    "annotated_strip": {
        "frames": np.zeros((3, 5, 7, 3), np.uint8),
        "outlines": {"sstn": np.zeros((3, 4, 2))},
    },
    "region_outlines": {"frame": grey(5, 7, 3), "outlines": {"sstn": np.zeros((4, 2))}},
}
NAN = np.array([[0.5, np.nan]])

BAD = [
    ("annotated_strip", {"frames": grey(3, 5, 7, 3)},
     "frames must be 8-bit RGB (t, h, w, 3), at least one, got float64 of shape (3, 5, 7, 3)"),
    ("annotated_strip", {"frames": np.zeros((0, 5, 7, 3), np.uint8)},
     "frames must be 8-bit RGB (t, h, w, 3), at least one, got uint8 of shape (0, 5, 7, 3)"),
    ("annotated_strip", {"outlines": {}}, "outlines must have at least one entry"),
    ("annotated_strip", {"outlines": {"sstn": np.zeros((2, 4, 2))}},
     "outlines['sstn'] must have shape (3, 4, 2) ((y, x) of four corners in each frame), got (2, 4, 2)"),
    ("annotated_strip", {"outlines": {"sstn": np.full((3, 4, 2), np.nan)}},
     "outlines['sstn'] must be finite, got 24 of 24"),
    ("sample_sequences", {"videos": {}}, "videos must have at least one entry"),
    ("sample_sequences", {"videos": {"normal": grey(4, 5, 7, 1)}},
     r"videos['normal'] must have axes (t, h, w), got shape (4, 5, 7, 1)"),
    ("sample_sequences", {"videos": {"normal": grey(4, 5, 7), "elastic": grey(3, 5, 7)}},
     "videos['elastic'] must have shape (4, 5, 7) like videos['normal'], got (3, 5, 7)"),
    ("sample_sequences", {"videos": {"normal": grey(0, 5, 7)}}, "videos['normal'] must not be empty"),
    ("sample_sequences", {"videos": {"normal": 255 * grey(4, 5, 7)}},
     "videos['normal'] must hold pixels from 0 to 1, got 127.5 to 127.5; divide 8-bit pixels by 255"),
    ("sample_sequences", {"videos": {"normal": np.zeros((4, 5, 7), np.uint8)}},
     "videos['normal'] must be floating point, got uint8"),
    ("transformer_pairs", {"inputs": {}}, "inputs must have at least one entry"),
    ("transformer_pairs", {"outputs": {"normal": grey(3, 4)}},
     "outputs must have the conditions of inputs, ['normal', 'rotation'], got ['normal']"),
    ("transformer_pairs", {"outputs": {"normal": grey(3, 4), "rotation": grey(3, 4) - 0.6}},
     "outputs['rotation'] must hold pixels from 0 to 1, got -0.1 to -0.1"),
    ("transformer_pairs", {"inputs": {"normal": grey(5, 7), "rotation": grey(5)}},
     "inputs['rotation'] must have axes (h, w), got shape (5,)"),
    ("elastic", {"image": grey(5, 6)}, "field must have shape (5, 6, 2) like image, got (5, 7, 2)"),
    ("elastic", {"image": grey(5, 7, 1)}, "image must have axes (h, w), got shape (5, 7, 1)"),
    ("elastic", {"field": grey(5, 7)}, "field must have axes (h, w, 2), got shape (5, 7)"),
    ("elastic", {"field": np.full((5, 7, 2), np.inf)}, "field must be finite, got 70 of 70 numbers"),
    ("elastic", {"deformed": grey(7, 5)}, "deformed must have shape (5, 7) like image, got (7, 5)"),
    ("elastic", {"image": NAN}, "image must hold pixels from 0 to 1, got nan to nan"),
    ("sampling_points", {"frame": grey(5, 7) + 1}, "frame must hold pixels from 0 to 1"),
    ("sampling_points", {"centres": np.array([1, 6])},
     "centres must have shape (n, 2), none empty, got (2,)"),
    ("sampling_points", {"centres": np.zeros((0, 2)), "points": np.zeros((0, 3, 2))},
     "centres must have shape (n, 2), none empty, got (0, 2)"),
    ("sampling_points", {"centres": np.array([[1, 6], [6, 1]])},
     "centres must lie in the frame of (5, 7) pixels, got from [1 1] to [6 6]"),
    ("sampling_points", {"points": grey(3, 3, 2)},
     "points must have shape (2, k, 2), none empty, got (3, 3, 2)"),
    ("sampling_points", {"points": grey(2, 3)}, "points must have shape (2, k, 2), none empty, got (2, 3)"),
    ("sampling_points", {"points": np.full((2, 3, 2), np.nan)}, "points must be finite, got 12 of 12"),
    ("learning_curves", {"curves": {}}, "curves must have at least one entry"),
    ("learning_curves", {"curves": {"lenet": (np.arange(4), grey(3))}},
     "the values of curves['lenet'] must have shape (4,) like its steps, got (3,)"),
    ("learning_curves", {"curves": {"lenet": (np.zeros((2, 2)), np.zeros((2, 2)))}},
     "the steps of curves['lenet'] must be a row of numbers, at least one, got shape (2, 2)"),
    ("learning_curves", {"curves": {"lenet": (np.zeros(0), np.zeros(0))}},
     "the steps of curves['lenet'] must be a row of numbers, at least one, got shape (0,)"),
    ("learning_curves", {"curves": {"lenet": (np.array([0, 2, 1]), grey(3))}},
     "the steps of curves['lenet'] must not decrease"),
    ("learning_curves", {"curves": {"lenet": (NAN[0], grey(2))}},
     "the steps of curves['lenet'] must be finite, got 1 of 2"),
    ("confusion_matrix", {"counts": np.ones((3, 2), int)}, "counts must be square, a row and a column"),
    ("confusion_matrix", {"counts": np.ones((0, 0), int)}, "counts must be square, a row and a column"),
    ("confusion_matrix", {"counts": grey(3, 3)},
     "counts must be whole numbers, none negative, got float64 from 0.5 on; give numbers of clips"),
    ("confusion_matrix", {"counts": -np.eye(3, dtype=int)},
     "counts must be whole numbers, none negative, got int64 from -1 on"),
    ("confusion_matrix", {"class_names": ["bar", "disc"]},
     "class_names must have shape (3,) (a name for each row of counts), got (2,)"),
    ("attended_regions", {"regions": {}}, "regions must have at least one entry"),
    ("attended_regions", {"regions": {"sstn": {}}}, "regions must have at least one entry"),
    ("attended_regions", {"regions": {"sstn": {"small": grey(5, 7, 3)}, "stn": {"large": grey(5, 7, 3)}}},
     "regions['stn'] must have the columns of regions['sstn'], ['small'], got ['large']"),
    ("attended_regions", {"regions": {"sstn": {"small": grey(5, 7, 3), "large": grey(5, 6, 3)}}},
     "regions['sstn, large'] must have shape (5, 7, 3) like regions['sstn, small'], got (5, 6, 3)"),
    ("attended_regions", {"regions": {"sstn": {"small": grey(5, 7)}}},
     "regions['sstn, small'] must have axes (h, w, 3), got shape (5, 7)"),
    ("attended_regions", {"regions": {"sstn": {"small": 3 * grey(5, 7, 3)}}},
     "regions['sstn, small'] must hold pixels from 0 to 1, got 1.5 to 1.5"),
    ("motion_window", {"frame": grey(5, 7, 1)}, "frame must have shape (5, 7, 3)"),
    ("motion_window", {"motion": grey(5, 6)}, "motion must have shape (5, 7) like frame, got (5, 6)"),
    ("motion_window", {"motion": np.full((5, 7), np.inf)}, "motion must be finite, got 35 of 35"),
    ("motion_window", {"top_left": np.zeros((1, 2))}, "top_left must have axes (yx), got shape (1, 2)"),
    ("motion_window", {"window_hw": (3, 0)}, "window_hw must be two whole numbers (y, x), each at least 1"),
    ("level_crops", {"crops": {}}, "crops must have at least one entry"),
    ("level_crops", {"crops": {"bar": {"detail": grey(5, 7, 3)}, "disc": {}}},
     "crops['disc'] must have the levels ['detail'], got []"),
    ("level_crops", {"top_left": {"bar": {"detail": np.zeros(2)}}},
     "top_left['disc'] must have the levels ['detail'], got []"),
    ("level_crops", {"crops": {"bar": {"detail": 2 * grey(5, 7, 3) + 1}, "disc": {"detail": grey(5, 7, 3)}}},
     "crops['bar']['detail'] must hold pixels from 0 to 1, got 2 to 2"),
    ("region_outlines", {"frame": grey(5, 7)}, "frame must have axes (h, w, 3), got shape (5, 7)"),
    ("region_outlines", {"frame": grey(5, 7, 1)}, "frame must have shape (5, 7, 3)"),
    ("region_outlines", {"outlines": {}}, "outlines must have at least one entry"),
    ("region_outlines", {"outlines": {"sstn": np.zeros((3, 2))}},
     "outlines['sstn'] must have shape (4, 2) ((y, x) of each corner), got (3, 2)"),
    ("region_outlines", {"outlines": {"sstn": np.full((4, 2), np.nan)}},
     "outlines['sstn'] must be finite, got 8 of 8"),
]  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_calls_are_right(tmp_path, name):
    getattr(figures, name)(tmp_path / "figure.png", **RIGHT[name])
    assert (tmp_path / "figure.png").is_file()


@pytest.mark.parametrize(("name", "replaced", "message"), BAD, ids=[f"{name}: {why}" for name, _, why in BAD])
def test_bad_input(tmp_path, name, replaced, message):
    with pytest.raises(ValueError, match=re.escape(f"{name}: {message}")):
        getattr(figures, name)(tmp_path / "figure.png", **{**RIGHT[name], **replaced})
    assert list(tmp_path.iterdir()) == []


def test_the_rounding_of_interpolation_is_no_error(tmp_path):
    figures.sample_sequences(tmp_path / "figure.png", {"normal": np.full((2, 5, 7), 1 + 1e-6)})
