"""What a video file's container says besides the frames: the codec, and whether frames are missing.

OpenCV's number of frames is a count in some containers. In others it is the duration times the rate, which
is too high for a stream that starts late, has an uneven rate or is shorter than the sound beside it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

MATROSKA, RIFF = b"\x1aE\xdf\xa3", b"RIFF"  # how files begin
GIF, GIF_TRAILER = b"GIF8", b";"
BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp")  # .mp4 and .mov, from byte 4

SEGMENT, TRACKS, TRACK, TRACK_TYPE, CODEC = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0x86  # ids of Matroska
VIDEO_TRACK = 1

SOUND = 0.1  # the share of a file's duration by which its sound may outlast the pictures
NAME = 64  # bytes that are read of a field at most


class Track(NamedTuple):
    """The first video track of an .mp4 file.

    Attributes:
      codec: four characters, such as "avc1"; None if there are none.
      seconds: for how long it is shown; an edit list may hide some of its frames.
    """

    codec: str | None
    seconds: float


def codec_of(path: Path) -> str | None:
    """The codec as the container names it; None where that cannot be found out."""
    with path.open("rb") as file:
        head = file.read(2**16)
        if head.startswith(MATROSKA):
            return _matroska_codec(file)
        if head[4:8] in BOXES:
            track = _video_track(file)
            return track and track.codec
        if head.startswith(RIFF):
            _, found, after = head.partition(b"vids")
            return _printable(after[:4]) if found else None
    return None


def is_cut_off(path: Path) -> bool:
    """Whether a file is shorter than its container says; False where that cannot be found out."""
    with path.open("rb") as file:
        head = file.read(8)
        if head.startswith(MATROSKA):
            return _segment_is_broken(file)
        if head.startswith(RIFF):
            return _size(file) < 8 + int.from_bytes(head[4:8], "little")
        return head[4:8] in BOXES and _last_box_is_cut(file)


def frames_are_missing(path: Path, *, decoded: int, promised: int, end: float, fps: float) -> bool:
    """Whether a file that was decoded to its end had more frames, as far as its container can tell.

    Args:
      path: the file.
      decoded: how many frames came.
      promised: how many there are by OpenCV, a count or an estimate; not positive if the header says nothing.
      end: when the last frame ends, in seconds from the file's beginning.
      fps: frames per second.
    """
    with path.open("rb") as file:
        head = file.read(8)
        if head.startswith(GIF):
            return not _has_trailer(file)  # its frames have been counted up to where it breaks off
        if decoded >= promised:
            return False
        if head.startswith(MATROSKA):
            return _segment_is_broken(file)
        half_a_frame = 0.5 / fps
        if head[4:8] in BOXES:
            track = _video_track(file)
            return _last_box_is_cut(file) or track is None or end < track.seconds - half_a_frame
    # In .avi files that is the duration of the pictures alone; elsewhere the sound may last longer.
    duration = promised / fps
    return end < duration - (half_a_frame if head.startswith(RIFF) else SOUND * duration)


def _has_trailer(file: BinaryIO) -> bool:
    file.seek(-min(64, _size(file)), os.SEEK_END)
    return file.read().rstrip(b"\0").endswith(GIF_TRAILER)


def _segment_is_broken(file: BinaryIO) -> bool:
    """Whether the elements of a Matroska file do not fill its segment; a live recording's has no size."""
    for ident, start, size in _elements(file, 0, _size(file)):
        if ident == SEGMENT:
            if size is None:
                return False
            end = start
            for _, child, child_size in _elements(file, start, start + size):
                if child_size is None:
                    return False
                end = child + child_size
            return end != start + size or end > _size(file)
    return True


def _matroska_codec(file: BinaryIO) -> str | None:
    end = _size(file)
    for segment in _named(file, SEGMENT, 0, end):
        for tracks in _named(file, TRACKS, *segment):
            for track in _named(file, TRACK, *tracks):
                fields = {ident: (start, size) for ident, start, size in _elements(file, *track)}
                if int.from_bytes(_read(file, fields.get(TRACK_TYPE))) == VIDEO_TRACK:
                    return _printable(_read(file, fields.get(CODEC)).rstrip(b"\0"))
    return None


def _named(file: BinaryIO, ident: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the contents of the elements with an id begin and end."""
    for found, child, size in _elements(file, start, end):
        if found == ident:
            yield child, end if size is None else child + size


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """The id of each element of Matroska in a range, where its content begins and how long it is, if it says.

    Ends early where there is no element, and after one without a size.
    """
    end = min(end, _size(file))
    while start < end:
        file.seek(start)
        ident, _ = _number(file)
        size, bits = _number(file)
        if ident is None or size is None:
            return
        size -= 1 << bits  # the mark of the length
        unknown = size == (1 << bits) - 1
        start = file.tell()
        yield ident, start, None if unknown else size
        if unknown:
            return
        start += size


def _number(file: BinaryIO) -> tuple[int | None, int]:
    """A number of Matroska with the mark of its length, and how many bits it has without."""
    first = file.read(1)
    if not first or not first[0]:
        return None, 0
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    return (int.from_bytes(first + rest) if len(rest) == more else None), 7 * (more + 1)


def _last_box_is_cut(file: BinaryIO) -> bool:
    end = 0
    for _, start, size in _boxes(file, 0, _size(file)):
        end = start + size
    return end > _size(file)


def _video_track(file: BinaryIO) -> Track | None:
    for movie in _boxes_at(file, (b"moov",), 0, _size(file)):
        units = _in_header(file, next(_boxes_at(file, (b"mvhd",), *movie), None), (12, 4), (20, 4))
        for track in _boxes_at(file, (b"trak",), *movie):
            kind = next(_boxes_at(file, (b"mdia", b"hdlr"), *track), None)
            if kind and _read(file, (kind[0] + 8, 4)) == b"vide":
                header = next(_boxes_at(file, (b"tkhd",), *track), None)
                table = next(_boxes_at(file, (b"mdia", b"minf", b"stbl", b"stsd"), *track), None)
                codec = _printable(_read(file, table and (table[0] + 12, 4)))
                return Track(codec, _in_header(file, header, (20, 4), (28, 8)) / (units or 1))
    return None


def _in_header(
    file: BinaryIO, box: tuple[int, int] | None, short: tuple[int, int], long: tuple[int, int]
) -> int:
    """A whole number in a header: its place and size, and those in version 1, whose times have 64 bits."""
    if box is None:
        return 0
    place, size = long if _read(file, (box[0], 1)) == b"\1" else short
    return int.from_bytes(_read(file, (box[0] + place, size)))


def _boxes_at(file: BinaryIO, names: tuple[bytes, ...], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the contents of the boxes under some names, one inside the other, begin and end."""
    for name, child, size in _boxes(file, start, end):
        if name == names[0]:
            if len(names) == 1:
                yield child, child + size
            else:
                yield from _boxes_at(file, names[1:], child, child + size)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The name of each box in a range, where its content begins and how long it is."""
    end = min(end, _size(file))
    while start + 8 <= end:
        file.seek(start)
        size, name = int.from_bytes(file.read(4)), file.read(4)
        if size == 1:
            size = int.from_bytes(file.read(8))
        elif size == 0:
            size = end - start  # it is the last
        content = file.tell()
        if size < content - start:
            return
        yield name, content, start + size - content
        start += size


def _read(file: BinaryIO, place: tuple[int, int | None] | None) -> bytes:
    if place is None:
        return b""
    file.seek(place[0])
    return file.read(min(place[1] or 0, NAME))


def _printable(name: bytes) -> str | None:
    text = name.decode("ascii", "replace").strip()
    return text if text.isascii() and text.isprintable() and text else None


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
