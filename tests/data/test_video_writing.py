"""Writing video files: what is written comes back, and what cannot be written is named and leaves nothing."""

import os
import resource
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from video_files import JPEG, moving_texture, plain_frames

from geoattn_jax.data.video import read_video, write_video


@pytest.mark.parametrize("hw", [(24, 36), (25, 33)])
def test_mp4_files_come_back(tmp_path, hw):
    path, frames = tmp_path / "new" / "clip.mp4", plain_frames(5, hw)
    write_video(path, frames, 7.5)
    video = read_video(path)
    assert video.fps == 7.5
    height, width = hw
    assert video.frames.shape == (5, height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(video.frames[:, :height, :width].astype(int), frames, atol=JPEG)
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.mp4"]


def test_gif_files_come_back(tmp_path):
    path, frames = tmp_path / "new" / "clip.gif", plain_frames(5, (25, 33))
    write_video(path, frames, 8.0)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (5, (33, 25), 120, 0)
        for number, frame in enumerate(frames):
            gif.seek(number)
            np.testing.assert_allclose(np.asarray(gif.convert("RGB")).astype(int), frame, atol=JPEG)
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.gif"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        write_video(path, plain_frames(3), 5.0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def fail(*arguments):
    raise RuntimeError("half-way")


def test_equal_frames_all_count(tmp_path):
    """A .gif file could hold each once, for a longer time."""
    frames = plain_frames(2)[[0, 0, 0, 1, 1]]
    for name in ("clip.mp4", "clip.gif"):
        write_video(tmp_path / name, frames, 5.0)
        video = read_video(tmp_path / name)
        assert video.fps == 5.0
        np.testing.assert_allclose(video.frames.astype(int), frames, atol=JPEG)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, name):
    frames = (np.full((100, 120, 3), number, np.uint8) for number in range(60))
    tracemalloc.start()
    try:
        write_video(tmp_path / name, frames, 5.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * 100 * 120 * 3
    assert len(read_video(tmp_path / name).frames) == 60


@pytest.mark.parametrize("fps", [0.1, 1 / 3, 7.0, 24000 / 1001, 29.97, 65.536, 120000 / 1001, 999.9])
def test_rates_come_back(tmp_path, fps):
    write_video(tmp_path / "clip.mp4", plain_frames(3), fps)
    assert read_video(tmp_path / "clip.mp4").fps == pytest.approx(fps, rel=5e-3)


@pytest.mark.parametrize("hw", [(1, 1), (3, 8190), (8190, 2)])
def test_sizes_up_to_the_formats_come_back(tmp_path, hw):
    write_video(tmp_path / "clip.mp4", plain_frames(2, hw), 5.0)
    assert read_video(tmp_path / "clip.mp4").frames.shape == (2, *(size + size % 2 for size in hw), 3)


@pytest.mark.usefixtures("unchecked")
def test_frames_may_be_of_jax(tmp_path):
    write_video(tmp_path / "clip.mp4", jnp.asarray(plain_frames(3)), 5.0)
    np.testing.assert_allclose(
        read_video(tmp_path / "clip.mp4").frames.astype(int), plain_frames(3), atol=JPEG
    )


FRAMES = plain_frames(4)
WRONG_FRAMES = {
    "none": ([], "at least one frame, got none"),
    "float": (FRAMES / 255, r"got float64 of shape \(24, 36, 3\) as frame 0; pixels in \[0, 1\] become"),
    "int64": (FRAMES.astype(int), "got int64 of shape .* as frame 0; pixels from 0 to 255 become"),
    "grey": (FRAMES[..., 0], r"got uint8 of shape \(24, 36\) as frame 0; repeat grey ones"),
    "a batch": (FRAMES[None], r"of shape \(.*, 24, 36, 3\) as frame 0; give the frames of one video"),
    "one channel": (FRAMES[..., :1], r"of shape \(24, 36, 1\) as frame 0; repeat grey ones"),
    "transparent": (np.repeat(FRAMES, 2, -1)[..., :4], r"of shape \(24, 36, 4\) as frame 0; give three chan"),
    "a single frame": (FRAMES[0], r"of shape \(36, 3\) as frame 0; give a single frame as frames\[None\]"),
    "lists": (FRAMES.tolist(), r"got list of shape \(24, 36, 3\)"),
    "no pixels": (FRAMES[:, :0], r"of shape \(0, 36, 3\)"),
    "higher later": ([*FRAMES, plain_frames(1, (26, 36))[0]], "got 24 x 36 pixels and, as frame 4, 26 x 36"),
    "narrower later": ([f[:, : 36 - n] for n, f in enumerate(FRAMES)], "as frame 1, 24 x 35; scale them"),
    "float later": ([*FRAMES, FRAMES[0] / 255], "got float64 of shape .* as frame 4"),
    "too wide": (
        np.zeros((2, 16, 65536, 3), np.uint8),
        r"at most \d+ pixels high and wide .* got 16 x 65536",
    ),
    "too high": (
        np.zeros((2, 65536, 16, 3), np.uint8),
        r"at most \d+ pixels high and wide .* got 65536 x 16",
    ),
}


@pytest.mark.parametrize(("frames", "said"), WRONG_FRAMES.values(), ids=WRONG_FRAMES)
@pytest.mark.parametrize("given", [iter, lambda frames: frames], ids=["iterator", "whole"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
@pytest.mark.usefixtures("unchecked")
def test_frames_that_cannot_be_written_are_named(tmp_path, name, given, frames, said):
    path = tmp_path / name
    path.write_bytes(b"old")
    for place in (path, tmp_path / "new" / name):
        with pytest.raises(ValueError, match=rf"^write_video: frames must .*{said}"):
            write_video(place, given(frames), 5.0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fps", [0, -5.0, np.nan, np.inf, 1e-9, 1e5, "25", None])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
@pytest.mark.usefixtures("unchecked")
def test_rates_out_of_range_are_named(tmp_path, name, fps):
    with pytest.raises(ValueError, match=r"^write_video: fps must be a number .* from 0\.1 to 1000\.0, got "):
        write_video(tmp_path / name, plain_frames(2), fps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["clip.avi", "clip", "clip.mp4.part", "folder.mp4"])
def test_other_paths_are_named(tmp_path, name):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(ValueError, match=rf"^write_video: path must be a file that ends in \.mp4 .*{name}"):
        write_video(tmp_path / name, plain_frames(2), 5.0)
    assert os.listdir(tmp_path) == ["folder.mp4"]


@pytest.fixture
def full_disk():
    """No file can become larger than a kilobyte, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_the_old_file_is_kept(tmp_path, name):
    path, frames = tmp_path / name, moving_texture((1, 2), count=12)
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=rf"{name}'$"):
        write_video(path, frames, 5.0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(OSError, match="folder"):
        write_video(tmp_path / "folder" / "clip.mp4", plain_frames(2), 5.0)
