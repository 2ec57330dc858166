"""Scaled digits: a pure function of seed and index; zoom and shift within their ranges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.data.digits import DigitPool
from geoattn_jax.data.scaled_digits import render_scaled_digits

FRAME = 18  # pixels, as in `pool`


def test_a_frame_depends_on_seed_and_index_alone(pool):
    whole = render_scaled_digits(pool, 5, jnp.arange(11), frame_size=FRAME)
    for indices in ([4], [10, 2, 7, 0]):
        part = render_scaled_digits(pool, 5, jnp.array(indices), frame_size=FRAME)
        assert np.array_equal(part.frames, whole.frames[np.array(indices)])
        assert np.array_equal(part.labels, whole.labels[np.array(indices)])
    traced = jax.jit(lambda seed: render_scaled_digits(pool, seed, jnp.arange(11), frame_size=FRAME))
    assert np.array_equal(traced(jnp.int32(5)).frames, whole.frames)
    other = render_scaled_digits(pool, 6, jnp.arange(11), frame_size=FRAME)
    assert not np.array_equal(other.frames, whole.frames)


@pytest.fixture(scope="module")
def squares():
    return render_squares()


def render_squares(**options):
    """Frames of 64 pixels that show white squares, whose edges tell zoom and shift."""
    size = 28
    image = jnp.zeros((1, size, size)).at[:, 7:21, 7:21].set(1.0)
    pool = DigitPool(image, jnp.array([3]), jnp.zeros(10, jnp.int32), jnp.ones(10, jnp.int32))
    shown = render_scaled_digits(pool, 0, jnp.arange(2000), frame_size=64, **options)
    return np.asarray(shown.frames[..., 0])


def zoom_and_middle(squares, axis):
    """The zooms, how far the squares' middles are from the frame's, and which rows or columns they fill."""
    profile = squares.max(axis=3 - axis)
    length = profile.sum(axis=1)
    # The square is half the frame; larger zoom = smaller digit.
    return 32 / length, (profile * np.arange(64)).sum(axis=1) / length - 31.5, profile


@pytest.mark.parametrize("axis", [1, 2])
def test_zoom_and_shift_fill_their_ranges(squares, axis):
    zoom, middle, profile = zoom_and_middle(squares, axis)
    assert 0.98 < zoom.min() < 1.03
    assert 2.4 < zoom.max() < 2.6
    assert zoom.mean() == pytest.approx(1.75, abs=0.04)
    whole = (profile[:, 0] == 0) & (profile[:, -1] == 0)
    assert np.abs(middle[whole]).max() == pytest.approx(0.2 * 64, abs=0.3)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_shift_in_the_source_is_divided_by_the_zoom(squares, axis):
    zoom, middle, profile = zoom_and_middle(squares, axis)
    before, moved, _ = zoom_and_middle(render_squares(shift_in="source"), axis)
    whole = (profile[:, 0] == 0) & (profile[:, -1] == 0)
    np.testing.assert_allclose(moved[whole], (middle / zoom)[whole], atol=0.3)
    np.testing.assert_allclose(before[whole], zoom[whole], rtol=0.05)


def test_zoom_and_shift_are_separate_for_y_and_x(squares):
    lengths = squares.max(axis=2).sum(axis=1), squares.max(axis=1).sum(axis=1)
    assert abs(np.corrcoef(*lengths)[0, 1]) < 0.1


def test_every_label_appears_and_names_its_image(pool):
    frames, labels = render_scaled_digits(pool, 0, jnp.arange(300), frame_size=FRAME)
    assert set(np.asarray(labels).tolist()) == set(range(10))
    assert frames.min() >= 0
    assert frames.max() <= 1


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_shift_is_named(pool):
    with pytest.raises(ValueError, match="shift_in must be one of 'target', 'source', got 'output'"):
        render_scaled_digits(pool, 0, jnp.arange(2), frame_size=FRAME, shift_in="output")


@pytest.mark.usefixtures("unchecked")
def test_a_pool_for_another_frame_is_refused(pool):
    with pytest.raises(ValueError, match=r"pool must hold digits of 28 pixels .*got 8.*frame_size=64"):
        render_scaled_digits(pool, 0, jnp.arange(2), frame_size=64)
