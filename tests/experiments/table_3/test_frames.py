"""Streams of any source of clips: what training, evaluation and the extraction of features see of it."""

from functools import partial

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
TRAINING = [(clip, time) for clip, length in enumerate(LENGTHS["train"]) for time in range(length)]


DRAW = (3, 1, 4)  # seed, phase, step


def stream(name):
    return StreamFrames(SOURCE, LEVEL, name)


def training(frames, count, draw=DRAW):
    """All of a batch, as networks get it."""
    return frames.prepare(frames.training(draw, count, np.arange(count)))


def decoded(stacks):
    flows = (stacks.astype(np.float64) - 128) * 4 / 127
    return flows - flows.mean(axis=(1, 2), keepdims=True)


def test_it_is_a_source_of_frames():
    assert isinstance(SOURCE, ClipSource)
    assert isinstance(stream("rgb"), FrameSource)
    assert (stream("flow").channels, stream("flow").num_classes) == (20, 3)


@pytest.mark.parametrize("name", STREAMS)
def test_training_is_a_function_of_what_determines_the_draw(name):
    frames = stream(name)
    one, same, *others = (
        training(frames, 7, draw) for draw in ((1, 0, 2), (1, 0, 2), (2, 0, 2), (1, 1, 2), (1, 0, 3))
    )
    jax.tree.map(np.testing.assert_array_equal, one, same)
    for other in others:
        assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (7, 12, 17, CHANNELS[name])
    many = training(frames, 90)
    assert set(np.asarray(many.top_left[:, 1])) == {0, 1, 2, 3, 4, 5}
    assert set(np.asarray(many.labels)) == {0, 1, 2}
    assert np.isnan(many.hand).all()
    assert np.isnan(many.panel).all()


@pytest.mark.parametrize("name", STREAMS)
def test_rows_are_those_of_the_whole_batch(name):
    frames, rows = stream(name), np.array([5, 0, 5, 6])
    whole, some = (frames.training(DRAW, 7, chosen) for chosen in (np.arange(7), rows))
    jax.tree.map(lambda all_, chosen: np.testing.assert_array_equal(all_[rows], chosen), whole, some)
    assert all(isinstance(leaf, np.ndarray) for leaf in whole)
    assert (whole.pictures.dtype, whole.light.dtype, whole.top_left.dtype) == (np.uint8, np.float32, np.int32)


def test_training_reads_by_numpy_alone(monkeypatch):
    frames = stream("flow")
    prepared = training(frames, 5)
    for module in ("jax", "jnp"):
        monkeypatch.setattr(f"geoattn_jax.experiments.table_3.frames.{module}", None)
    raw = frames.training(DRAW, 5, np.arange(5))
    monkeypatch.undo()
    compiled = jax.jit(frames.prepare)(raw)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), compiled, prepared)


class ComputedClips(NoisyClips):
    """Rendered by JAX when they are asked for, as KitchenMini's are."""

    def pictures(self, stream, frames):
        return np.asarray(jax.jit(lambda pictures: pictures)(super().pictures(stream, frames)))


def test_the_flows_scale_is_found_while_a_program_is_compiled():
    raw = stream("flow").training(DRAW, 5, np.arange(5))
    expected = jax.jit(stream("flow").prepare)(raw)
    found = jax.jit(StreamFrames(ComputedClips(), LEVEL, "flow").prepare)(raw)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_training_frames_keep_their_region_in_other_light():
    samples = training(stream("rgb"), 40)
    found = 0
    for n in range(40):
        for clip, time in TRAINING:
            where = "train", LEVEL
            pixels = SOURCE.pictures("rgb", FrameNumbers(*where, [clip], [time]))[0] / 255
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

    def pictures(self, stream, frames):
        noise = super().pictures(stream, frames)
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
    frames = training(StreamFrames(MovingRegions(), LEVEL, "flow"), 64).frames
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), 0, atol=1e-5)
    share = 36 / (12 * 17)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(frames)) / share), 1, rtol=0.1)


def test_evaluation_sees_one_frame_of_each_clip():
    rgb = stream("rgb")
    assert rgb.num_samples("test") == 3
    whole = rgb.evaluation("test", np.arange(3))
    parts = [stream("rgb").evaluation("test", rows) for rows in (np.array([0, 1]), np.array([2]))]
    jax.tree.map(lambda all_, *some: np.testing.assert_array_equal(all_, np.concatenate(some)), whole, *parts)
    assert (whole.clips.tolist(), whole.top_left.tolist()) == ([0, 1, 2], 3 * [[0, 2]])
    frames = rgb.prepare(whole).frames
    for clip in range(3):
        times = np.arange(LENGTHS["test"][clip])
        shown = SOURCE.pictures("rgb", FrameNumbers("test", LEVEL, np.full(len(times), clip), times))
        assert np.abs((shown / 255 - 0.5) / 0.25 - frames[clip]).max(axis=(1, 2, 3)).min() < 1e-5


@pytest.mark.parametrize("name", STREAMS)
def test_every_frame_comes_once_and_in_order(name):
    frames = stream(name)
    assert frames.num_frames("test") == 8
    portions = [np.arange(0, 3), np.arange(3, 6), np.array([6, 7, 7])]
    batches = [frames.prepare(frames.every_frame("test", rows)) for rows in portions]
    samples = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
    clips, times = [0, 0, 0, 1, 2, 2, 2, 2, 2], [0, 1, 2, 0, 0, 1, 2, 3, 3]  # eight, and one to fill
    read = SOURCE.pictures(name, FrameNumbers("test", LEVEL, clips, times))
    if name == "rgb":
        expected = (read / 255 - 0.5) / 0.25
    else:
        of_training = FrameNumbers("train", LEVEL, *zip(*TRAINING, strict=True))
        unit = np.sqrt(np.square(decoded(SOURCE.pictures("flow", of_training))).mean())
        expected = decoded(read) / unit
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
