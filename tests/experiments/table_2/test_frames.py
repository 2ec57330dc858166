"""Frames as networks get them: crops with their own hard-coded regions, small and at the paper's sizes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.data.kitchen import KitchenMini, render_clips
from geoattn_jax.data.levels import LEVELS, PAPER_LEVELS
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.experiments.attention import kitchen_windows
from geoattn_jax.experiments.attention.region_measures import centre_of
from geoattn_jax.experiments.table_2.frames import KitchenFrames

SEED, CLIPS = 5, {"train": 7, "validation": 5, "test": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="module")
def general(folder):
    return KitchenFrames(LEVELS["general"], SEED, CLIPS, frames_per_clip=2, folder=folder / "general")


@pytest.fixture(scope="module")
def clips():
    return render_clips(KitchenMini("validation", "general"), SEED, jnp.arange(5))


def test_evaluation_sees_one_frame_of_each_clip(general, clips):
    assert general.num_samples("validation") == 5
    batches = [general.evaluation("validation", rows) for rows in np.split(np.arange(5), [2, 4])]
    frames, top_left, theta_2, hand, panel, labels, indices, times = jax.tree.map(
        lambda *parts: np.concatenate(parts), *batches
    )
    np.testing.assert_array_equal(labels, clips.labels)
    np.testing.assert_array_equal(indices, np.arange(5))
    np.testing.assert_array_equal(times, 0)
    np.testing.assert_array_equal(top_left, np.tile([0, 6], (5, 1)))
    motion = motion_map(clips.flow)[:, :, 6 : 6 + 37]
    centre = best_window(motion, (32, 32)) + 15.5
    np.testing.assert_allclose(centre_of(jnp.asarray(theta_2), (37, 37)), centre, atol=1e-4)
    shown = set()
    for n in range(5):
        differences = np.abs(clips.frames[n] - (0.5 + 0.25 * frames[n])).max(axis=(1, 2, 3))
        shown.add(int(differences.argmin()))
        assert differences.min() <= 0.5 / 255 + 1e-6  # a frame of the clip, in 8 bits
        for found, centres in ((hand, clips.hand), (panel, clips.panel)):
            expected = np.asarray(centres[n, differences.argmin()]) - [0, 6]
            np.testing.assert_allclose(found[n], expected, atol=1e-4)
    assert len(shown) > 1  # not always the same one


def test_the_motion_of_a_clip_in_its_middle_crop(general, clips):
    frame, motion, top_left = general.motion("validation", 3)
    np.testing.assert_allclose(frame, clips.frames[3, 0, :, 6 : 6 + 37], atol=1e-6)
    expected = motion_map(clips.flow[3:4])[:, :, 6 : 6 + 37]
    np.testing.assert_allclose(motion, expected[0], atol=1e-5)
    np.testing.assert_array_equal(top_left, best_window(expected, (32, 32))[0])


def training(frames, seed, count):
    return frames.training((seed, 0, 0), count, np.arange(count))


def test_training_is_a_function_of_the_draw(general):
    one, same, other = (training(general, seed, 6) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    some = general.training(
        (1, 0, 0), 6, np.array([4, 1, 1])
    )  # the same examples, whatever else is asked for
    expected = jax.tree.map(lambda leaf: np.asarray(leaf)[[4, 1, 1]], one)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), some, expected)
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (6, 37, 49, 3)
    assert len(set(np.asarray(training(general, 1, 50).top_left[:, 1]))) > 8  # of 13 crops
    # The light changes from frame to frame, and so does its colour.
    light = np.asarray(0.5 + 0.25 * one.frames).mean(axis=(1, 2))
    assert (light / light.mean(axis=1, keepdims=True)).std(axis=0).min() > 0.01


def test_every_crop_has_its_own_hard_coded_region(general):
    samples = training(general, 1, 50)
    motion = motion_map(render_clips(KitchenMini("train", "general"), SEED, jnp.arange(7)).flow)
    centres = np.asarray(centre_of(samples.theta_2, (37, 37)))
    for left in np.unique(samples.top_left[:, 1]):
        expected = np.asarray(best_window(motion[:, :, left : left + 37], (32, 32))) + 15.5
        for centre in centres[np.asarray(samples.top_left[:, 1]) == left]:
            assert np.abs(expected - centre).max(axis=1).min() < 1e-4


def test_the_regions_are_found_once(general, monkeypatch, folder):
    general.evaluation("test", np.arange(3))
    monkeypatch.setattr(kitchen_windows, "windows_of_crops", None)
    again = KitchenFrames(LEVELS["general"], SEED, CLIPS, frames_per_clip=1, folder=folder / "general")
    one, other = (frames.evaluation("test", np.arange(3)) for frames in (general, again))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_at_the_papers_sizes(general, folder):
    large = KitchenFrames(PAPER_LEVELS["general"], SEED, CLIPS, frames_per_clip=2, folder=folder / "general")
    enlarged, mini = (frames.evaluation("test", np.arange(2)) for frames in (large, general))
    assert enlarged.frames.shape == (2, 256, 340, 3)
    assert np.all(enlarged.top_left[:, 1] <= 340 - 256)
    # The same place in the crop, up to rounding; the region is 7/8 of the crop's side, as in Table 1.
    for centre in (lambda one, hw: centre_of(one.theta_2, hw), lambda one, hw: one.hand):
        places = [(np.asarray(centre(one, (s, s))) + 0.5) / s for one, s in ((enlarged, 256), (mini, 37))]
        np.testing.assert_allclose(*places, atol=1e-5)
    np.testing.assert_allclose(enlarged.theta_2[:, 0, 0], 0.875)
    shrunk = jax.image.resize(enlarged.frames, mini.frames.shape, "linear")
    assert np.corrcoef(np.ravel(shrunk), np.ravel(mini.frames))[0, 1] > 0.95
