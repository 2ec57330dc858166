"""KitchenMini as a source of clips, against the clips rendered directly."""

import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.data.kitchen import CLASS_NAMES, KitchenMini, render_clips
from geoattn_jax.data.levels import LEVELS
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.experiments.table_3.sources import kitchen as kitchen_clips
from geoattn_jax.experiments.table_3.sources.kitchen import KitchenClips
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource, FrameNumbers

SEED, LEVEL = 5, LEVELS["general"]
NUM_CLIPS = {"train": 5, "validation": 4, "test": 7}
WHICH = np.array([4, 0, 4, 2]), np.array([9, 3, 0, 6])  # clips, times
LEFTS = np.array([0, 12, 5, 7])  # of crops
TOP_LEFT = np.stack([np.zeros_like(LEFTS), LEFTS], axis=1)


@pytest.fixture(scope="module", autouse=True)
def _three_at_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kitchen_clips, "CLIPS_AT_ONCE", 3)
        yield


@pytest.fixture
def source(tmp_path_factory):
    return KitchenClips(SEED, NUM_CLIPS, tmp_path_factory.getbasetemp() / "kitchen")


@pytest.fixture(scope="module")
def rendered():
    return render_clips(KitchenMini("train", "general"), SEED, jnp.arange(5))


def test_what_it_says_of_its_clips(source, rendered):
    assert isinstance(source, ClipSource)
    assert source.class_names == CLASS_NAMES
    np.testing.assert_array_equal(source.labels("train"), rendered.labels)
    np.testing.assert_array_equal(source.lengths("test"), [10] * 7)


def test_rgb_is_the_rendered_frame_in_8_bits(source, rendered):
    clips, times = WHICH
    read, _ = source.read("rgb", FrameNumbers("train", LEVEL, clips, times), TOP_LEFT)
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read / 255, rendered.frames[clips, times], atol=0.5 / 255 + 1e-6)


def test_flow_is_that_of_the_whole_clip_from_five_frames_before(source, rendered):
    clips, times = WHICH
    read, _ = source.read("flow", FrameNumbers("train", LEVEL, clips, times), TOP_LEFT)
    assert (read.dtype, read.shape) == (np.uint8, (4, 37, 49, 20))
    bound = source.flow_bound
    for n, (clip, time) in enumerate(zip(*WHICH, strict=True)):
        for k in range(10):
            expected = np.clip(rendered.flow[clip, (time - 5 + k) % 10], -bound, bound)
            found = (read[n, :, :, 2 * k : 2 * k + 2] - 128.0) * bound / 127
            np.testing.assert_allclose(found, expected, atol=0.51 * bound / 127)
    assert np.abs(rendered.flow).max() < bound  # nothing is clipped


def test_the_windows_are_those_with_the_most_motion_in_each_crop(source, rendered):
    clips, times = WHICH
    _, found = source.read("rgb", FrameNumbers("train", LEVEL, clips, times), TOP_LEFT)
    motion = motion_map(rendered.flow)
    for n, (clip, left) in enumerate(zip(clips, LEFTS, strict=True)):
        expected = best_window(motion[clip : clip + 1, :, left : left + 37], LEVEL.window_hw)
        np.testing.assert_array_equal(found[n], expected[0])


def test_training_clips_are_rendered_once_and_few_test_clips_are_kept(source, monkeypatch):
    rendered, render = [], kitchen_clips._render

    def counted(kitchen, seed, indices, stream, bound):
        rendered.append((kitchen.split, stream, int(indices[0])))
        return render(kitchen, seed, indices, stream, bound)

    monkeypatch.setattr(kitchen_clips, "_render", counted)

    def read(split, stream, *clips):
        rendered.clear()
        frames = FrameNumbers(split, LEVEL, np.array(clips), np.zeros(len(clips), int))
        source.read(stream, frames, TOP_LEFT[: len(clips)])
        return rendered

    assert read("train", "rgb", 0, 4, 1, 3) == [("train", "rgb", 0), ("train", "rgb", 3)]
    assert read("test", "rgb", 0, 2, 6) == [("test", "rgb", 0), ("test", "rgb", 6)]
    assert read("train", "rgb", 2, 3) == []
    assert read("test", "rgb", 6) == []
    assert read("test", "rgb", 0) == [("test", "rgb", 0)]
    assert read("train", "flow", 1) == [("train", "flow", 0)]
    assert read("train", "rgb", 4) == [("train", "rgb", 3)]
