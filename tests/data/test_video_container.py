"""A warning where frames of a file are missing and only there, and the codec of what cannot be decoded."""

import struct

import numpy as np
import pytest
from video_files import cut_off, cv2, moving_texture, plain_frames, write_with_opencv

from geoattn_jax.data.video import VideoError, read_video, write_video
from geoattn_jax.data.video_container import codec_of, frames_are_missing, is_cut_off

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
