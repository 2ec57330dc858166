"""The cache of frames and flow: made once, whole or not there, never another video's."""

import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from video_files import cut_off, moving_texture, plain_frames, write_avi

from geoattn_jax.data import video_cache
from geoattn_jax.data.flow import compute_flow, decode_flow, encode_flow, resize_flow
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.data.video import VideoError, read_video, write_video
from geoattn_jax.data.video_cache import cached_flow, cached_frames

HW, SMALL = (48, 68), (24, 30)  # of the clip, and another shape


@pytest.fixture
def clip(tmp_path):
    return write_avi(tmp_path / "videos" / "clip.avi", moving_texture((1, 2), hw=HW))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch):
    """The methods by which flow was computed, not read."""
    calls = []
    iterate = video_cache.iterate_flow

    def counted(frames, *, method):
        calls.append(method)
        return iterate(frames, method=method)

    monkeypatch.setattr(video_cache, "iterate_flow", counted)
    return calls


def test_frames_are_the_videos(clip, cache):
    for _ in range(2):
        frames = cached_frames(clip, cache, resize_hw=SMALL)
        np.testing.assert_array_equal(frames, read_video(clip, resize_hw=SMALL).frames)
        assert not frames.flags.writeable
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("options", [{}, {"method": "farneback", "bound": 5.0}])
def test_flow_is_encoded(clip, cache, options):
    bound = {key: options[key] for key in options if key == "bound"}
    method = {key: options[key] for key in options if key == "method"}
    frames = read_video(clip, resize_hw=SMALL).frames
    expected = encode_flow(compute_flow(frames, **method), **bound)
    np.testing.assert_array_equal(cached_flow(clip, cache, compute_hw=SMALL, **options), expected)


def test_resized_flow_is_made_of_the_flow_at_the_size_where_it_is_computed(clip, cache, computed):
    whole = cached_flow(clip, cache, compute_hw=HW)
    resized = cached_flow(clip, cache, compute_hw=HW, resize_hw=SMALL)
    assert computed == ["dis"]
    expected = np.stack([resize_flow(np.asarray(decode_flow(flow)), SMALL) for flow in whole])
    np.testing.assert_array_equal(resized, encode_flow(expected))
    middle = np.median(np.asarray(decode_flow(resized))[:, 6:-6, 6:-6], axis=(0, 1, 2))
    np.testing.assert_allclose(middle, [24 / 48, 2 * 30 / 68], atol=0.2)


def test_a_second_call_computes_nothing(clip, cache, computed):
    first, second = (cached_flow(clip, cache, compute_hw=HW) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert computed == ["dis"]
    assert not second.flags.writeable


def test_other_settings_and_other_videos_have_files_of_their_own(clip, cache, computed):
    for options in ({}, {"method": "farneback"}, {"bound": 5.0}):
        cached_flow(clip, cache, **{"compute_hw": HW, **options})
    cached_flow(clip, cache, compute_hw=SMALL)
    assert len(computed) == 4
    write_avi(clip, moving_texture((1, 2), hw=HW, seed=1))
    os.utime(clip, ns=(0, 0))
    cached_flow(clip, cache, compute_hw=HW)
    namesake = clip.parent / "other" / clip.name
    namesake.parent.mkdir()
    shutil.copy(clip, namesake)
    cached_flow(namesake, cache, compute_hw=HW)
    assert len(computed) == 6


def test_videos_may_have_the_longest_names(clip, cache):
    for stem in (251 * "x", 83 * "手"):
        renamed = clip.rename(clip.with_name(f"{stem}.avi"))
        frames = [cached_frames(renamed, cache, resize_hw=SMALL) for _ in range(2)]
        np.testing.assert_array_equal(*frames)
        renamed.rename(clip)
    assert len(list(cache.iterdir())) == 2


def test_an_interrupted_computation_leaves_nothing_and_is_done_again(clip, cache, monkeypatch):
    whole = np.array(cached_flow(clip, cache, compute_hw=HW))
    shutil.rmtree(cache)

    def interrupted(file, array):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("numpy.save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached_flow(clip, cache, compute_hw=HW)
    assert list(cache.iterdir()) == []
    np.testing.assert_array_equal(cached_flow(clip, cache, compute_hw=HW), whole)


def test_what_a_killed_process_leaves_does_no_harm(clip, cache):
    whole = np.array(cached_flow(clip, cache, compute_hw=HW))
    (kept,) = cache.iterdir()
    kept.rename(cache / f".{kept.name}.tmp")
    np.testing.assert_array_equal(cached_flow(clip, cache, compute_hw=HW), whole)
    assert list(cache.iterdir()) == [kept]


def test_a_video_of_one_frame_has_no_flow(tmp_path, cache):
    path = write_avi(tmp_path / "single.avi", plain_frames(1))
    with pytest.raises(VideoError, match=r"single\.avi: flow leads from one frame to the next"):
        cached_flow(path, cache, compute_hw=HW)
    assert not cache.exists()


def test_a_video_that_breaks_off_has_the_frames_and_flow_before_the_break(clip, cache, caplog):
    frames = read_video(cut_off(clip, 0.7), resize_hw=HW).frames
    assert 2 <= len(frames) < 4
    np.testing.assert_array_equal(cached_frames(clip, cache, resize_hw=HW), frames)
    expected = encode_flow(compute_flow(frames))
    np.testing.assert_array_equal(cached_flow(clip, cache, compute_hw=HW), expected)
    assert all("breaks off" in message for message in caplog.messages)
    assert len(caplog.messages) == 3


@pytest.mark.parametrize(
    "cached",
    [lambda *where: cached_flow(*where, compute_hw=HW), lambda *where: cached_frames(*where, resize_hw=HW)],
)
def test_a_missing_video_is_named(tmp_path, cache, cached):
    with pytest.raises(VideoError, match=r"nowhere\.avi: there is no such file"):
        cached(tmp_path / "nowhere.avi", cache)


REAL = {
    "carphone.mp4": (120, 144, 176),
    "mmaction2_test.avi": (164, 240, 320),
    "mmaction2_demo.mp4": (280, 256, 340),
}


@pytest.mark.parametrize("name", REAL)
def test_real_videos_have_flow_and_regions(videos_folder, tmp_path, cache, name):
    path, (count, *hw) = videos_folder / name, REAL[name]
    encoded = cached_flow(path, cache, compute_hw=HW)
    assert encoded.shape == (count, *HW, 2)
    first = read_video(path, stop=3)
    assert first.frames.shape == (3, *hw, 3)
    assert 24 < first.fps < 31
    motion = motion_map(decode_flow(jnp.asarray(encoded[:12]))[None])
    assert motion.max() > 0.05
    top_left = np.asarray(best_window(motion, (16, 16)))
    assert (top_left >= 0).all()
    assert (top_left <= [[32, 52]]).all()
    written = tmp_path / "written.mp4"
    write_video(written, first.frames, first.fps)
    assert np.abs(read_video(written).frames.astype(int) - first.frames).mean() < 10
