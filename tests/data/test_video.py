"""Video files: what comes back is what was written, and every way in which a file can be wrong."""

import logging
import os
import resource
import struct
import sys
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from video_files import FPS, cut_off, cv2, moving_texture, plain_frames, write_avi, write_with_opencv

from geoattn_jax.data.video import VideoError, read_frames, read_video, write_video
from geoattn_jax.data.video_container import codec_of, frames_are_missing, is_cut_off

JPEG = 4  # by how much compression changes a plain colour


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
    "int64": (FRAMES.astype(int), "got int64 of shape .* as frame 0"),
    "grey": (FRAMES[..., 0], r"got uint8 of shape \(24, 36\) as frame 0; repeat grey ones"),
    "one channel": (FRAMES[..., :1], r"of shape \(24, 36, 1\) as frame 0; repeat grey ones"),
    "transparent": (np.repeat(FRAMES, 2, -1)[..., :4], r"of shape \(24, 36, 4\) as frame 0; give three chan"),
    "a single frame": (FRAMES[0], r"of shape \(36, 3\) as frame 0"),
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


WRITTEN = {  # by ending and codec; a file that is cut off gives its first frames
    "clip.avi": "MJPG",
    "clip.mkv": "MJPG",
    "clip.webm": "VP80",
    "clip.flv": "FLV1",
}


def long_clip(path, codec, count=20):
    return write_with_opencv(path, moving_texture((1, 2), count, (32, 48)), codec)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_of_any_container_that_is_cut_off_frames_are_missing(tmp_path, caplog, name, share):
    path = long_clip(tmp_path / name, WRITTEN[name])
    assert len(read_video(path).frames) == 20
    assert not caplog.messages
    count = len(read_video(cut_off(path, share)).frames)
    assert 1 < count < 20
    assert caplog.messages == [f"{path} breaks off: {count} of its 20 frames can be decoded"]


def test_of_a_gif_that_is_cut_off_frames_are_missing(tmp_path, caplog):
    """Its header does not count the frames."""
    path = tmp_path / "clip.gif"
    write_video(path, moving_texture((1, 2), 20, (32, 48)), 5.0)
    assert len(read_video(path).frames) == 20
    assert not caplog.messages
    count = len(read_video(cut_off(path, 0.5)).frames)
    assert 1 < count < 20
    (message,) = caplog.messages
    assert message.startswith(f"{path} breaks off: ")
    assert f"{count} of its " in message


def index_first(path):
    """Moves the index of an .mp4 file to the front, so that a file cut off still has it."""
    content = path.read_bytes()
    data, index = content.index(b"mdat") - 4, content.index(b"moov") - 4
    before, frames, index = content[:data], content[data:index], bytearray(content[index:])
    place = index.index(b"stco") + 8
    count = int.from_bytes(index[place : place + 4])
    for entry in range(place + 4, place + 4 + 4 * count, 4):
        moved = int.from_bytes(index[entry : entry + 4]) + len(index)
        index[entry : entry + 4] = moved.to_bytes(4)
    path.write_bytes(before + index + frames)
    return path


def test_of_an_mp4_that_is_cut_off_frames_are_missing(tmp_path, caplog):
    path = index_first(long_clip(tmp_path / "clip.mp4", "MJPG"))
    assert len(read_video(path).frames) == 20
    assert not caplog.messages
    count = len(read_video(cut_off(path, 0.7)).frames)
    assert 1 < count < 20
    assert caplog.messages == [f"{path} breaks off: {count} of its 20 frames can be decoded"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_file_whose_end_was_never_filled_has_frames_missing(tmp_path, caplog, name):
    """As of an interrupted download into a file of the full size."""
    path = long_clip(tmp_path / name, "MJPG")
    if name == "clip.mp4":
        index_first(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    assert len(read_video(path).frames) < 20
    assert "breaks off" in caplog.text


def number_of(value, size):
    """A number of Matroska's with the mark of its length."""
    return (value | 1 << 7 * size).to_bytes(size)


def element(ident, content):
    return bytes.fromhex(ident) + number_of(len(content), 8) + content


def matroska(path, *, times, duration, segment_size=None):
    """A .mkv file with a picture at each of some times, in milliseconds, that says how long it is."""
    pictures = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in plain_frames(len(times), (32, 48))]
    header = element("1a45dfa3", element("4282", b"matroska"))
    info = element(
        "1549a966", element("2ad7b1", (10**6).to_bytes(4)) + element("4489", struct.pack(">d", duration))
    )
    video = element("e0", element("b0", b"\x30") + element("ba", b"\x20"))
    track = [
        element("d7", b"\1"),
        element("73c5", b"\1"),
        element("83", b"\1"),
        element("86", b"V_MJPEG"),
        video,
    ]
    track.append(element("23e383", (80 * 10**6).to_bytes(4)))  # 12.5 frames per second
    blocks = [
        element("a3", b"\x81" + time.to_bytes(2) + b"\x80" + picture)
        for time, picture in zip(times, pictures, strict=True)
    ]
    cluster = element("1f43b675", element("e7", b"\0") + b"".join(blocks))
    content = info + element("1654ae6b", element("ae", b"".join(track))) + cluster
    size = number_of(len(content), 8) if segment_size is None else segment_size
    path.write_bytes(header + bytes.fromhex("18538067") + size + content)
    return path


@pytest.mark.parametrize(
    ("times", "duration"),
    [
        ([*range(0, 800, 80)], 800),
        ([*range(1600, 2400, 80)], 2400),  # starts late
        ([*range(0, 800, 80)], 4000),  # its sound lasts longer
        ([0, 80, 160, 2000, 2080, 4000, 4080, 5000, 5080, 9000], 9500),  # at uneven times
    ],
)
@pytest.mark.parametrize("segment_size", [None, b"\x01" + 7 * b"\xff"])
def test_a_whole_matroska_file_does_not_break_off(tmp_path, caplog, times, duration, segment_size):
    path = matroska(tmp_path / "clip.mkv", times=times, duration=duration, segment_size=segment_size)
    assert len(read_video(path).frames) == 10
    assert not caplog.messages
    if segment_size is None:
        assert len(read_video(cut_off(path, 0.7)).frames) < 10
        assert "breaks off" in caplog.text


def test_frames_that_an_edit_list_hides_are_not_missing(tmp_path, caplog):
    """As after cutting an .mp4 file without encoding it again."""
    path = long_clip(tmp_path / "clip.mp4", "mp4v")
    content = bytearray(path.read_bytes())
    for name, place in ((b"elst", 12), (b"tkhd", 24), (b"mvhd", 20)):
        start = content.index(name) + place
        content[start : start + 4] = (800).to_bytes(4)  # milliseconds: 10 of 20 frames are shown
    path.write_bytes(content)
    assert len(read_video(path).frames) < 20
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


CUT_BEFORE = {"clip.mp4": b"mdat", "clip.avi": b"movi", "clip.mkv": b"\x1f\x43\xb6\x75"}  # the first frame


@pytest.mark.parametrize("name", CUT_BEFORE)
def test_a_codec_is_no_reason_where_a_file_is_cut_off(tmp_path, name):
    path = long_clip(tmp_path / name, "FMP4" if name == "clip.avi" else "mp4v", count=2)
    if name == "clip.mp4":
        index_first(path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(CUT_BEFORE[name]) + 12])
    with pytest.raises(VideoError, match=r"leave it out, or record it again$"):
        read_video(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.gif"])
def test_what_a_damaged_container_says_is_no_error(tmp_path, name):
    path, random = tmp_path / name, np.random.default_rng(0)
    if name == "clip.gif":
        write_video(path, plain_frames(3), 5.0)
    else:
        long_clip(path, "MJPG" if name == "clip.avi" else "mp4v", count=3)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(300):
        damaged = content[: random.integers(len(content) // 3, len(content))].copy()
        places = random.integers(4, len(damaged), 20)
        damaged[places] = random.choice([0, 1, 255, *range(256)], 20)
        path.write_bytes(damaged.tobytes())
        codec_of(path)
        is_cut_off(path)
        frames_are_missing(path, decoded=2, promised=3, end=0.16, fps=12.5)


def test_a_file_without_frames_is_named(tmp_path):
    path = write_avi(tmp_path / "clip.avi", plain_frames(0))
    with pytest.raises(VideoError, match=r"clip\.avi: no frame of it can be decoded; its codec is MJPG"):
        read_video(path)


@pytest.mark.parametrize(
    ("name", "old", "new", "codec"),
    [
        ("clip.mkv", b"V_MPEG4/ISO/ASP", b"V_AV1".ljust(15, b"\0"), "AV1"),
        ("clip.mkv", b"V_MPEG4/ISO/ASP", b"V_UNHEARD/OF".ljust(15, b"\0"), "V_UNHEARD/OF"),
        ("clip.avi", b"FMP4", b"QQQQ", "QQQQ"),
        ("clip.mp4", b"mp4v", b"av01", "AV1"),
        ("clip.mp4", b"mp4v", b"encv", "encrypted"),
    ],
)
def test_what_cannot_be_decoded_is_named_with_its_codec(tmp_path, name, old, new, codec):
    path = write_with_opencv(
        tmp_path / name, plain_frames(4, (32, 48)), "FMP4" if name[-1] == "i" else "mp4v"
    )
    content = path.read_bytes().replace(old, new)
    path.write_bytes(content.replace(b"esds", b"free"))  # which names the codec of an .mp4 file once more
    with pytest.raises(
        VideoError, match=rf"{name}: .* its codec is {codec}, .* convert it to H\.264 \(ffmpeg"
    ):
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
