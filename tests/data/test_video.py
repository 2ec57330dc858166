"""Reading video files: the frames, and every way in which a file can be wrong."""

import logging
import os
import sys

import numpy as np
import pytest
from video_files import FPS, JPEG, cut_off, plain_frames, write_avi

from geoattn_jax.data.video import VideoError, read_frames, read_video, write_video


@pytest.fixture
def avi(tmp_path):
    return write_avi(tmp_path / "clip.avi", plain_frames(7))


def test_frames_are_rgb_and_in_order(avi):
    video = read_video(avi)
    assert video.frames.shape == (7, 24, 36, 3)
    assert video.fps == pytest.approx(FPS)
    np.testing.assert_allclose(video.frames.astype(int), plain_frames(7), atol=JPEG)


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 5), (4, None), (6, 7), (5, 99)])
def test_a_range_is_that_part_of_the_whole(avi, start, stop):
    whole = read_video(avi).frames
    np.testing.assert_array_equal(read_video(avi, start=start, stop=stop).frames, whole[start:stop])


def test_frames_come_one_by_one(avi):
    frames = read_frames(avi, start=1)
    np.testing.assert_array_equal(next(frames), read_video(avi).frames[1])
    assert len(list(frames)) == 5


def test_shrinking_takes_means(tmp_path):
    stripes = np.zeros((2, 24, 36, 3), np.uint8)
    stripes[:, :, ::2] = 200
    path = write_avi(tmp_path / "stripes.avi", stripes)
    small = read_video(path, resize_hw=(6, 9)).frames
    assert small.shape == (2, 6, 9, 3)
    np.testing.assert_allclose(small.astype(int), 100, atol=JPEG)
    assert read_video(path, resize_hw=(30, 72)).frames.shape == (2, 30, 72, 3)


def test_a_file_that_breaks_off_gives_its_first_frames_and_a_warning(avi, caplog):
    whole = read_video(avi).frames
    with caplog.at_level(logging.WARNING):
        frames = read_video(cut_off(avi, 0.9)).frames
    assert 1 < len(frames) < 7
    np.testing.assert_array_equal(frames, whole[: len(frames)])
    assert caplog.messages == [f"{avi} breaks off: {len(frames)} of its 7 frames can be decoded"]


def test_what_is_asked_for_and_there_is_no_reason_to_warn(avi, caplog):
    read_video(avi)
    read_video(avi, stop=3)
    cut_off(avi, 0.9)
    read_video(avi, stop=2)
    assert not caplog.messages


@pytest.mark.parametrize("content", [b"", b"no video\n" * 50, b"RIFF\xff\xff\xff\xffAVI LIST"])
@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_an_unreadable_file_is_named(tmp_path, content, suffix):
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"clip\{suffix}: OpenCV cannot read it"):
        read_video(path)


def test_an_mp4_that_breaks_off_before_its_index_is_named(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, plain_frames(5), 5.0)
    with pytest.raises(VideoError, match=r"clip\.mp4: OpenCV cannot read it; .*broken off"):
        read_video(cut_off(path, 0.5))


def test_a_file_without_frames_is_named(tmp_path):
    path = write_avi(tmp_path / "clip.avi", plain_frames(0))
    with pytest.raises(VideoError, match=r"clip\.avi: no frame of it can be decoded; its codec is MJPG"):
        read_video(path)


@pytest.mark.parametrize(
    "name",
    ["http:x.mp4", "file:x.mp4", "concat:a|b.mp4", "clip%d.mp4", "%03d.mp4", "-x.mp4", "a?b#c.mp4", "手.mp4"],
)
def test_relative_names_are_names_of_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(name, plain_frames(3), 5.0)
    assert os.listdir() == [name]
    np.testing.assert_allclose(read_video(name).frames.astype(int), plain_frames(3), atol=JPEG)


def test_a_name_that_is_not_text_is_refused(avi):
    name = os.fsdecode(b"w\xe4sche.avi")
    avi.rename(avi.with_name(name))
    with pytest.raises(VideoError, match=r"w.udce4sche\.avi': its name is not valid Unicode, .*; rename it"):
        read_video(avi.with_name(name))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere\.mp4: there is no such file"):
        read_video(tmp_path / "nowhere.mp4")


def test_a_range_beyond_the_end_is_named(avi):
    with pytest.raises(VideoError, match=r"clip\.avi: it has 7 frames, counted from 0; .* not at 7"):
        read_video(avi, start=7)


def test_an_error_comes_before_the_first_frame_not_later(tmp_path):
    frames = read_frames(tmp_path / "nowhere.mp4")
    with pytest.raises(VideoError):
        next(frames)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda path: read_video(path, start=-1), "read_video: start and stop .* got -1 to None"),
        (lambda path: read_frames(path, start=3, stop=3), "read_frames: start and stop .* got 3 to 3"),
        (lambda path: read_frames(path, resize_hw=(0, 9)), r"resize_hw must be two whole .* got \(0, 9\)"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(avi, call, said):
    with pytest.raises(ValueError, match=said):
        call(avi)


def test_without_opencv_the_extra_is_named(avi, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install 'geoattn-jax\[video\]'"):
        read_video(avi)
