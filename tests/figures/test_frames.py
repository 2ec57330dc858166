"""Rows of frames show the right images, pixel for pixel, in the right places."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from geoattn_jax.figures import attended_regions, sample_sequences, transformer_pairs

ROUNDING = 2 / 255  # of the colour map and of matplotlib's scaling


def grey(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def drawn(axes) -> np.ndarray:
    """The image array that a panel was given."""
    (image,) = axes.images
    return np.asarray(image.get_array())


def place(axes) -> tuple[int, int, int, int]:
    """A panel's left, right, lower and upper edge on the page, in pixels."""
    box = axes.get_window_extent()
    edges = np.array([box.x0, box.x1, box.y0, box.y1])
    np.testing.assert_allclose(edges, edges.round(), atol=1e-6)
    return tuple(edges.round().astype(int))


def page_pixels(path, axes) -> np.ndarray:
    """A panel as it is in the file: (height, width), grey, from the top."""
    left, right, low, high = place(axes)
    page = imread(path)
    panel = page[len(page) - high : len(page) - low, left:right]
    np.testing.assert_array_equal(panel[..., 0], panel[..., 1])
    np.testing.assert_array_equal(panel[..., 0], panel[..., 2])
    return panel[..., 0]


def assert_is_enlarged(pixels: np.ndarray, image: np.ndarray, zoom: int) -> None:
    """Every pixel of the image is a square of one colour, its own."""
    np.testing.assert_array_equal(pixels, np.kron(pixels[::zoom, ::zoom], np.ones((zoom, zoom))))
    np.testing.assert_allclose(pixels[::zoom, ::zoom], image, atol=ROUNDING)


@pytest.mark.parametrize(
    ("num_frames", "shown"),
    [(1, [0]), (7, range(7)), (10, range(10)), (11, [0, 2, 4, 6, 8, 10]), (50, range(0, 50, 5))],
)
def test_sequences_show_evenly_spaced_frames(tmp_path, num_frames, shown):
    videos = {"normal": grey(0, num_frames, 5, 7), "rotation": grey(1, num_frames, 5, 7)}
    figure = sample_sequences(tmp_path / "sequences.png", videos)
    expected = [videos[condition][frame] for condition in videos for frame in shown]
    assert len(figure.axes) == len(expected)
    for axes, image in zip(figure.axes, expected, strict=True):
        np.testing.assert_array_equal(drawn(axes), image)
    assert texts(figure) == [*(f"frame {frame}" for frame in shown), "normal", "rotation"]


def test_time_runs_to_the_right_and_conditions_down(tmp_path):
    videos = {"normal": grey(0, 4, 5, 7), "rotation": grey(1, 4, 5, 7), "scaling": grey(2, 4, 5, 7)}
    figure = sample_sequences(tmp_path / "sequences.png", videos)
    left, right, low, high = np.array([place(axes) for axes in figure.axes]).reshape(3, 4, 4).T
    assert (left[1:] >= right[:-1]).all()
    assert (low[:, :-1] >= high[:, 1:]).all()
    assert (left == left[:, :1]).all()
    assert (low == low[:1]).all()


@pytest.mark.parametrize("hw", [(64, 64), (32, 32), (28, 40), (9, 3)])
def test_every_pixel_is_a_square_of_whole_pixels(tmp_path, hw):
    path = tmp_path / "sequences.png"
    video = grey(0, 2, *hw)
    figure = sample_sequences(path, {"normal": video})
    for axes, image in zip(figure.axes, video, strict=True):
        pixels = page_pixels(path, axes)
        zoom = pixels.shape[0] // hw[0]
        assert pixels.shape == (zoom * hw[0], zoom * hw[1])
        assert 96 <= max(pixels.shape) <= 192
        assert_is_enlarged(pixels, image, zoom)


def test_large_frames_are_scaled_down(tmp_path):
    path = tmp_path / "sequences.png"
    dark_above = np.repeat([0.0, 1.0], 300)[:, None] * np.ones(800)
    figure = sample_sequences(path, {"normal": dark_above[None]})
    pixels = page_pixels(path, figure.axes[0])
    assert pixels.shape == (96, 128)
    assert (pixels[:46] == 0).all()
    assert (pixels[50:] == 1).all()


def test_outputs_stand_below_their_inputs(tmp_path):
    conditions = ("normal", "rotation", "scaling")
    inputs = {condition: grey(seed, 6, 8) for seed, condition in enumerate(conditions)}
    outputs = {condition: grey(seed + 10, 5, 3) for seed, condition in enumerate(conditions)}
    path = tmp_path / "pairs.png"
    figure = transformer_pairs(path, inputs, dict(reversed(outputs.items())))
    above, below = figure.axes[:3], figure.axes[3:]
    assert texts(figure) == [*conditions, "input\n6 × 8 px", "output\n5 × 3 px"]
    for condition, first, second in zip(conditions, above, below, strict=True):
        np.testing.assert_array_equal(drawn(first), inputs[condition])
        np.testing.assert_array_equal(drawn(second), outputs[condition])
        assert_is_enlarged(page_pixels(path, first), inputs[condition], zoom=24)
        assert_is_enlarged(page_pixels(path, second), outputs[condition], zoom=38)
        left, right, low, _ = place(first)
        narrow_left, narrow_right, _, high = place(second)
        assert low > high
        assert abs((left + right) - (narrow_left + narrow_right)) <= 1


def test_columns_are_as_wide_as_their_headings(tmp_path):
    name = "rotation and scaling of both digits with a very long name"
    figure = transformer_pairs(
        tmp_path / "pairs.png",
        {name: grey(0, 6, 8), "b": grey(1, 6, 8)},
        {name: grey(2, 6, 8), "b": grey(3, 6, 8)},
    )
    first, second, *_ = (text.get_window_extent() for text in figure.texts)
    assert first.x0 > 0
    assert first.x1 < second.x0
    assert all(text.get_window_extent().x0 >= 0 for text in figure.texts)


def test_half_precision_is_drawn(tmp_path):
    video = grey(0, 2, 5, 7)
    for dtype in (np.float16, jnp.bfloat16):
        figure = sample_sequences(tmp_path / "sequences.png", {"normal": video.astype(dtype)})
        np.testing.assert_array_equal(drawn(figure.axes[1]), video[1].astype(dtype).astype(np.float64))


def test_regions_stand_in_their_row_and_column_in_colour(tmp_path):
    path = tmp_path / "regions.png"
    steps, names = ("guided", "step 50"), ("frame 0", "frame 1", "frame 2")
    regions = {
        name: {step: grey(7 * row + column, 6, 8, 3) for column, step in enumerate(steps)}
        for row, name in enumerate(names)
    }
    figure = attended_regions(path, regions)
    assert texts(figure) == [*steps, *names]
    page = imread(path)[..., :3]
    for axes, image in zip(
        figure.axes, (image for row in regions.values() for image in row.values()), strict=True
    ):
        left, right, low, high = place(axes)
        pixels = page[len(page) - high : len(page) - low, left:right]
        zoom = len(pixels) // 6
        np.testing.assert_allclose(pixels[::zoom, ::zoom], image, atol=ROUNDING)
    left, _, low, _ = np.array([place(axes) for axes in figure.axes]).reshape(3, 2, 4).transpose(2, 0, 1)
    assert (np.diff(left, axis=1) > 0).all()
    assert (np.diff(low, axis=0) < 0).all()
