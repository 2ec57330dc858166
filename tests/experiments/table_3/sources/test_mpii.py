"""MPII Cooking as a source of clips: frames, flows and regions at every level's size."""

import numpy as np
import pytest
from clip_sources import motion_windows

pytest.importorskip("tensorflow_datasets", reason="needs geoattn-jax[tfds]")
pytest.importorskip("array_record", reason="needs geoattn-jax[tfds]")
pytest.importorskip("cv2", reason="needs geoattn-jax[video]")

import cv2
import tensorflow_datasets as tfds
from mpii_files import grey_frames, moving_square, write_annotations, write_video

from geoattn_jax.data import mpii_records
from geoattn_jax.data.flow import STACK, decode_flow, stack_flow
from geoattn_jax.data.levels import Level
from geoattn_jax.data.mpii_cooking import MpiiCooking, MpiiCookingConfig
from geoattn_jax.data.mpii_videos import Keeping
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.table_3.sources.mpii import VALIDATION_CLIPS, MpiiClips
from geoattn_jax.experiments.table_3.sources.protocol import CHANNELS, ClipSource, FrameNumbers

KEPT_HW, FLOW_HW, BOUND = (48, 64), (36, 48), 10.0
DETAIL = Level("detail", KEPT_HW, (48, 48), (16, 16), max_pool=3)
MIDDLE = Level("middle", FLOW_HW, (36, 36), (16, 16), max_pool=2)
GENERAL = Level("general", (24, 32), (24, 24), (16, 16), max_pool=1)
LEFT = np.zeros((3, 2), np.int32)  # of crops
LEVELS = (DETAIL, MIDDLE, GENERAL)
ROWS = (
    "8,s08-d02-cam-002,1,4,3,peel",
    "11,s11-d02-cam-002,3,14,3,peel",
    "11,s11-d02-cam-002,15,16,7,cut dice",
    "12,s12-d02-cam-002,1,3,7,cut dice",
)


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpii")
    write_annotations(folder, ROWS)
    write_video(folder, "s08-d02-cam-002", grey_frames(4))
    write_video(folder, "s11-d02-cam-002", moving_square(16, (20, 4), (0, 2)))
    write_video(folder, "s12-d02-cam-002", grey_frames(3))
    config = MpiiCookingConfig(name="tiny", keeping=Keeping(KEPT_HW, FLOW_HW, flow_bound=BOUND))
    builder = MpiiCooking(config=config, data_dir=folder / "prepared")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    return builder


@pytest.fixture(scope="module")
def source(builder):
    return MpiiClips.of_protocol(builder, "fixed")


def test_splits_are_the_protocols(builder, source):
    assert isinstance(source, ClipSource)
    assert source.class_names == ("peel", "cut dice")
    assert source.flow_bound == BOUND
    assert source.labels("train").tolist() == [0, 1, 1]
    assert source.lengths("train").tolist() == [12, 2, 3]
    assert source.lengths("test").tolist() == [4]
    fold = MpiiClips.of_protocol(builder, "fold_1")
    assert [clip.subject for clip in fold.records["test"].clips] == [8]


def test_validation_looks_at_some_training_clips(source, monkeypatch):
    assert len(source.labels("train")) < VALIDATION_CLIPS
    assert source.records["validation"].clips == source.records["train"].clips
    monkeypatch.setattr("geoattn_jax.experiments.table_3.sources.mpii.VALIDATION_CLIPS", 2)
    source = MpiiClips.of_protocol(source.records["train"].builder, "fixed")
    assert source.records["validation"].clips == source.records["train"].clips[::2]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_frames_have_the_levels_size(source, level):
    clips, times = np.array([2, 0, 0]), np.array([1, 11, 4])
    frames, _ = source.read("rgb", FrameNumbers("train", level, clips, times), LEFT)
    assert frames.shape == (3, *level.frame_hw, 3)
    for frame, clip, time in zip(frames, clips, times, strict=True):
        (kept,) = source.records["train"].frames(int(clip), np.array([time]))
        expected = cv2.resize(np.ascontiguousarray(kept), level.frame_hw[::-1], interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("time", [0, 4, 6, 11])
def test_flow_is_stacked_within_the_clip(source, time):
    stack, _ = source.read("flow", FrameNumbers("train", MIDDLE, np.array([0]), np.array([time])), LEFT[:1])
    flow = source.records["train"].flow(0, np.arange(12))
    np.testing.assert_array_equal(stack, stack_flow(flow, np.array([time])))


@pytest.mark.parametrize("level", [DETAIL, GENERAL], ids=lambda level: level.name)
def test_flow_is_in_pixels_of_the_level(source, level):
    clips, times = np.array([0, 1]), np.array([7, 0])
    stack, _ = source.read("flow", FrameNumbers("train", level, clips, times), LEFT[:2])
    assert stack.shape == (2, *level.frame_hw, CHANNELS["flow"])
    kept, _ = source.read("flow", FrameNumbers("train", MIDDLE, clips, times), LEFT[:2])
    ratio = level.frame_hw[0] / FLOW_HW[0]
    flow, kept_flow = (np.asarray(decode_flow(codes, bound=BOUND)) for codes in (stack, kept))
    step = BOUND / 127
    interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    for channel in range(2 * STACK):
        expected = ratio * cv2.resize(
            np.ascontiguousarray(kept_flow[0, ..., channel]),
            level.frame_hw[::-1],
            interpolation=interpolation,
        )
        np.testing.assert_allclose(flow[0, ..., channel], expected, atol=step + 1e-3)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_regions_lie_where_most_moves(source, level):
    clips, times, top_left = np.array([0, 0]), np.array([2, 8]), np.array([[0, 3], [0, 0]], np.int32)
    frames = FrameNumbers("train", level, clips, times)
    stack, windows = source.read("flow", frames, top_left)
    np.testing.assert_array_equal(source.read("rgb", frames, top_left)[1], windows)
    expected = np.asarray(motion_windows(stack, top_left, level=level, bound=BOUND))
    # The motion is resized, not the flows: that moves a region by a pixel or two.
    np.testing.assert_allclose(windows, expected, atol=0 if level is MIDDLE else 2)
    squares = np.array([[20, 4 + 2 * 4], [20, 4 + 2 * 10]]) + 7  # their centres in the video
    centres = (windows + top_left + level.window_hw[0] / 2) * 48 / level.frame_hw[0]
    assert np.abs(centres - squares).max() < 8


def test_levels_larger_than_the_frames_are_refused(source):
    level = Level("detail", (96, 128), (96, 96), (32, 32), max_pool=3)
    with pytest.raises(ConfigError, match=r"config\.data\.size .* kept at \(48, 64\), .* needs \(96, 128\)"):
        source.read("rgb", FrameNumbers("train", level, np.array([0]), np.array([0])), LEFT[:1])


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_each_flow_is_decoded_once(source, stream, monkeypatch):
    decoded, decode = [], mpii_records.decode_flow_picture
    monkeypatch.setattr(
        mpii_records, "decode_flow_picture", lambda jpeg: decoded.append(jpeg) or decode(jpeg)
    )
    for time, flows in ((6, 10), (0, 5)):  # of the clip's first frame four flows are repeated
        decoded.clear()
        source.read(stream, FrameNumbers("train", GENERAL, np.array([0]), np.array([time])), LEFT[:1])
        assert len(decoded) == len(set(decoded)) == flows
