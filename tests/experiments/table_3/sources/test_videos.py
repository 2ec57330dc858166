"""Clips from video files: frames, stacks and windows of the right clip, time and level."""

import numpy as np
import pytest
from clip_sources import motion_windows
from video_files import moving_texture, write_avi

from geoattn_jax.data import video_cache
from geoattn_jax.data.flow import compute_flow, encode_flow, resize_flow, stack_flow
from geoattn_jax.data.levels import LEVELS
from geoattn_jax.data.video import read_video
from geoattn_jax.data.video_folder import LabelledClip, VideoFolder
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource, FrameNumbers
from geoattn_jax.experiments.table_3.sources.videos import FLOW_HW, VideoClips

LENGTHS = {"train": (3, 12), "validation": (2,), "test": (4,)}
LEFT = np.zeros((3, 2), np.int32)  # of crops
STEPS = [(1, 2), (2, -1), (-1, 1), (1, 1)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Textures that move, each by another step."""
    folder, steps, clips = tmp_path_factory.mktemp("videos"), iter(STEPS), {}
    for split, lengths in LENGTHS.items():
        frames = [moving_texture(next(steps), count, (64, 85)) for count in lengths]
        paths = [write_avi(folder / split / f"{n}.avi", video) for n, video in enumerate(frames)]
        clips[split] = tuple(LabelledClip(path, n % 2) for n, path in enumerate(paths))
    return VideoFolder(("cut", "wash"), clips)


@pytest.fixture(scope="module")
def source(videos, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_cache, "FRAMES_AT_ONCE", 4)  # the longest clip has more
        yield VideoClips(videos, tmp_path_factory.mktemp("cache"))


def test_it_is_a_source_of_clips(source):
    assert isinstance(source, ClipSource)
    assert source.class_names == ("cut", "wash")
    for split, lengths in LENGTHS.items():
        np.testing.assert_array_equal(source.lengths(split), lengths)
        np.testing.assert_array_equal(source.labels(split), np.arange(len(lengths)) % 2)


@pytest.mark.parametrize("name", LEVELS)
def test_frames_and_stacks_are_those_asked_for(source, videos, name):
    level, clips, times = LEVELS[name], np.array([1, 0, 1]), np.array([7, 2, 0])
    paths = [videos.clips["train"][clip].path for clip in clips]
    frames, _ = source.read("rgb", FrameNumbers("train", level, clips, times), LEFT)
    wholes = [read_video(path, resize_hw=level.frame_hw).frames for path in paths]
    expected = [whole[time] for whole, time in zip(wholes, times, strict=True)]
    np.testing.assert_array_equal(frames, expected)

    stacks, _ = source.read("flow", FrameNumbers("train", level, clips, times), LEFT)
    for path, time, stack in zip(paths, times, stacks, strict=True):
        flow = compute_flow(read_video(path, resize_hw=FLOW_HW).frames)
        flow = np.stack([resize_flow(one, level.frame_hw) for one in flow])
        encoded = np.asarray(encode_flow(flow, bound=source.flow_bound))
        (expected,) = stack_flow(encoded, np.array([time]))
        # Resized after it was encoded, so that it may differ by a step.
        assert np.abs(stack.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", LEVELS)
def test_windows_are_those_of_the_stacks(source, name):
    level, clips, times = LEVELS[name], np.array([0, 1, 1]), np.array([0, 11, 5])
    top_left = np.array([[0, level.crop_range], [0, 0], [0, 5]], np.int32)
    frames = FrameNumbers("train", level, clips, times)
    _, windows = source.read("rgb", frames, top_left)
    stacks, with_flow = source.read("flow", frames, top_left)
    expected = motion_windows(stacks, top_left, level=level, bound=source.flow_bound)
    np.testing.assert_array_equal(windows, expected)
    np.testing.assert_array_equal(with_flow, expected)


def test_flow_is_computed_by_the_method_asked_for(videos, tmp_path):
    source = VideoClips(videos, tmp_path, flow_method="farneback")
    (path,) = [clip.path for clip in videos.clips["validation"]]
    flow = compute_flow(read_video(path, resize_hw=FLOW_HW).frames, method="farneback")
    (expected,) = stack_flow(np.asarray(encode_flow(flow, bound=source.flow_bound)), np.array([1]))
    frames = FrameNumbers("validation", LEVELS["detail"], np.array([0]), np.array([1]))
    (stack,), _ = source.read("flow", frames, LEFT[:1])
    np.testing.assert_array_equal(stack, expected)


def test_what_was_made_is_read_again(source, videos, monkeypatch):
    frames = FrameNumbers("test", LEVELS["middle"], np.array([0]), np.array([1]))
    made = {stream: source.read(stream, frames, LEFT[:1]) for stream in ("rgb", "flow")}
    again = VideoClips(videos, source.folder)
    monkeypatch.setattr("geoattn_jax.data.video_cache.read_frames", None)
    for stream, expected in made.items():
        found = again.read(stream, frames, LEFT[:1])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
