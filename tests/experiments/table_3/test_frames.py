"""Streams of any source of clips: what training, evaluation and the extraction of features see of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clip_sources import LENGTHS, NoisyClips, motion_windows

from geoattn_jax.data.flow import STREAMS, encode_flow
from geoattn_jax.data.levels import Level
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.experiments.attention.region_measures import centre_of
from geoattn_jax.experiments.attention.task import FrameSource
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.experiments.table_3.sources.protocol import CHANNELS, ClipSource, FrameNumbers

LEVEL = Level("middle", frame_hw=(12, 17), crop_hw=(12, 12), window_hw=(6, 6), max_pool=2)
SOURCE = NoisyClips()
KEY = jax.random.key(3)
TRAINING = [(clip, time) for clip, length in enumerate(LENGTHS["train"]) for time in range(length)]


def stream(name):
    return StreamFrames(SOURCE, LEVEL, name)


def decoded(stacks):
    flows = (stacks.astype(np.float64) - 128) * 4 / 127
    return flows - flows.mean(axis=(1, 2), keepdims=True)


def test_it_is_a_source_of_frames():
    assert isinstance(SOURCE, ClipSource)
    assert isinstance(stream("rgb"), FrameSource)
    assert (stream("flow").channels, stream("flow").num_classes) == (20, 3)


@pytest.mark.parametrize("name", STREAMS)
def test_training_is_a_function_of_the_key(name):
    frames = stream(name)
    one, same, other = (frames.training(jax.random.key(seed), 7) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (7, 12, 17, CHANNELS[name])
    many = frames.training(KEY, 90)
    assert set(np.asarray(many.top_left[:, 1])) == {0, 1, 2, 3, 4, 5}
    assert set(np.asarray(many.labels)) == {0, 1, 2}
    assert np.isnan(many.hand).all()
    assert np.isnan(many.panel).all()


def test_training_frames_keep_their_region_in_other_light():
    samples = stream("rgb").training(KEY, 40)
    found = 0
    for n in range(40):
        for clip, time in TRAINING:
            where = "train", LEVEL
            pixels = SOURCE.read("rgb", FrameNumbers(*where, [clip], [time]))[0] / 255
            light = (0.5 + 0.25 * samples.frames[n]).mean(axis=(0, 1)) / pixels.mean(axis=(0, 1))
            if not np.allclose(pixels * light, 0.5 + 0.25 * samples.frames[n], atol=1e-4):
                continue
            found += 1
            assert np.all((light > 0.72 - 1e-4) & (light < 1.32 + 1e-4))
            top_left = np.asarray(samples.top_left[n : n + 1])
            window = SOURCE.windows(FrameNumbers(*where, np.array([clip]), np.array([time])), top_left)
            centre = centre_of(samples.theta_2[n : n + 1], LEVEL.crop_hw)
            np.testing.assert_allclose(centre, window + 2.5, atol=1e-4)
            assert samples.labels[n] == clip % 3
    assert found == 40


class MovingRegions(NoisyClips):
    """Nothing moves but what is in the hard-coded regions of the leftmost crops."""

    def read(self, stream, frames):
        noise = super().read(stream, frames)
        still = np.full_like(noise, 128)
        windows = self.windows(frames, 0)
        for n, (y, x) in enumerate(windows.astype(int)):
            still[n, y : y + 6, x : x + 6] = noise[n, y : y + 6, x : x + 6]
        return still

    def windows(self, frames, top_left):
        clips = frames.clips
        left = 0 if np.isscalar(top_left) else top_left[:, 1]
        x = np.clip(np.full(len(clips), 5) - left, 0, 6)
        return np.stack([clips % 6, x], axis=1).astype(np.float32)


def test_flow_is_still_on_average_and_of_unit_size_in_its_regions():
    frames = StreamFrames(MovingRegions(), LEVEL, "flow").training(KEY, 64).frames
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), 0, atol=1e-5)
    share = 36 / (12 * 17)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(frames)) / share), 1, rtol=0.1)


def test_evaluation_sees_one_frame_of_each_clip():
    batches = list(stream("rgb").evaluation("test", 2))
    assert [len(batch.labels) for batch in batches] == [2, 1]
    again = list(stream("rgb").evaluation("test", 2))
    jax.tree.map(np.testing.assert_array_equal, batches, again)
    frames = np.concatenate([batch.frames for batch in batches])
    for clip in range(3):
        times = np.arange(LENGTHS["test"][clip])
        shown = SOURCE.read("rgb", FrameNumbers("test", LEVEL, np.full(len(times), clip), times))
        assert np.abs((shown / 255 - 0.5) / 0.25 - frames[clip]).max(axis=(1, 2, 3)).min() < 1e-5


@pytest.mark.parametrize("name", STREAMS)
def test_every_frame_comes_once_and_in_order(name):
    batches = list(stream(name).every_frame("test", 3))
    samples = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
    clips, times = [0, 0, 0, 1, 2, 2, 2, 2, 2], [0, 1, 2, 0, 0, 1, 2, 3, 3]  # eight, and one to fill
    read = SOURCE.read(name, FrameNumbers("test", LEVEL, clips, times))
    if name == "rgb":
        expected = (read / 255 - 0.5) / 0.25
    else:
        training = decoded(SOURCE.read("flow", FrameNumbers("train", LEVEL, *zip(*TRAINING, strict=True))))
        expected = decoded(read) / np.sqrt(np.square(training).mean())
    np.testing.assert_allclose(samples.frames, expected, rtol=0.05 if name == "flow" else 1e-4, atol=1e-4)
    np.testing.assert_array_equal(samples.labels, np.array(clips) % 3)
    np.testing.assert_array_equal(samples.top_left, np.tile([0, 2], (9, 1)))
    window = SOURCE.windows(FrameNumbers("test", LEVEL, np.array(clips), np.array(times)), samples.top_left)
    np.testing.assert_allclose(
        centre_of(jnp.asarray(samples.theta_2), LEVEL.crop_hw), window + 2.5, atol=1e-4
    )


def test_the_hard_coded_region_of_flows():
    flow = np.random.default_rng(0).normal(size=(3, 10, 12, 17, 2)).astype(np.float32)
    stacks = np.moveaxis(np.asarray(encode_flow(flow, bound=4.0)), 1, 3).reshape(3, 12, 17, 20)
    top_left = np.array([[0, 0], [0, 3], [0, 5]], np.int32)
    found = motion_windows(stacks, top_left, level=LEVEL, bound=4.0)
    motion = motion_map(jnp.asarray(flow))
    for n, (_, left) in enumerate(top_left):
        expected = best_window(motion[n : n + 1, :, left : left + 12], (6, 6))
        np.testing.assert_array_equal(found[n], expected[0])
