"""Annotated clips: the frame, the outlines of that frame and the text beside it."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from PIL import Image

from geoattn_jax.figures import annotated, annotated_strip
from geoattn_jax.figures.annotated import annotated_video
from geoattn_jax.figures.outlines import COLOURS

BOX = np.array([[3.0, 4.0], [3.0, 12.0], [9.0, 12.0], [9.0, 4.0]])


def moving_boxes(count):
    """One box that moves down by a pixel a frame, and one that stays."""
    steps = np.arange(count)[:, None, None] * np.array([1.0, 0.0])
    return {"detail": BOX + steps, "general": np.tile(BOX / 4, (count, 1, 1))}


def grey_levels(count):
    levels = (60 + 10 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    return np.broadcast_to(levels, (count, 24, 32, 3)).copy()


def test_a_strip_shows_frames_from_the_first_to_the_last(tmp_path):
    frames = grey_levels(11)
    figure = annotated_strip(tmp_path / "strip.png", frames, moving_boxes(11), ["1. wash"])
    headings = [text.get_text() for text in figure.texts]
    assert headings == [f"frame {n}" for n in (0, 2, 4, 6, 8, 10)] + ["detail", "general", "1. wash"]
    page = imread(tmp_path / "strip.png")[..., :3]
    for axes, number in zip(figure.axes, (0, 2, 4, 6, 8, 10), strict=True):
        assert axes.get_xlim() == (-0.5, 31.5)

        def at(y, x, axes=axes):
            column, row = axes.transData.transform((x, y))
            return page[round(len(page) - row), round(column)]

        np.testing.assert_allclose(at(22, 30), frames[number, 0, 0] / 255, atol=0.01)
        np.testing.assert_allclose(at(3 + number, 8), to_rgb(COLOURS[0]), atol=0.05)
        np.testing.assert_allclose(at(6 / 4, 1), to_rgb(COLOURS[1]), atol=0.05)


@pytest.mark.parametrize("count", [1, 4])
def test_of_few_frames_all_are_shown(tmp_path, count):
    figure = annotated_strip(tmp_path / "strip.png", grey_levels(count), moving_boxes(count))
    assert len(figure.axes) == count


def test_a_video_has_every_frame_with_its_own_outline(tmp_path):
    frames = grey_levels(4)
    path = tmp_path / "clip.gif"
    annotated_video(path, frames, moving_boxes(4), ["1. wash", "2. cut"], fps=5.0)
    with Image.open(path) as gif:
        assert gif.n_frames == 4
        zoom = annotated.VIDEO_SIZE // 32
        for number in range(4):
            gif.seek(number)
            page = np.asarray(gif.convert("RGB")) / 255

            def at(y, x, page=page):
                return page[round(6 + (y + 0.5) * zoom), round(6 + (x + 0.5) * zoom)]

            np.testing.assert_allclose(at(22, 30), frames[number, 0, 0] / 255, atol=0.03)
            np.testing.assert_allclose(at(3 + number, 8), to_rgb(COLOURS[0]), atol=0.1)
            np.testing.assert_allclose(at(9 + number, 8), to_rgb(COLOURS[0]), atol=0.1)


def test_the_text_is_in_the_colour_of_the_outline(tmp_path):
    figure = annotated_strip(tmp_path / "strip.png", grey_levels(2), moving_boxes(2), ["1. wash"])
    colours = {text.get_text(): text.get_color() for text in figure.texts}
    assert [colours[name] for name in ("detail", "general", "1. wash")] == [*COLOURS[:2], "black"]
