"""The video files under a folder, and why the others are none."""

import os
from pathlib import Path

from geoattn_jax.data.video import VideoError, read_frames

# Formats with pictures that follow each other, of which OpenCV's FFmpeg reads what it has codecs for.
SUFFIXES = (
    *(
        ".3g2",
        ".3gp",
        ".amv",
        ".apng",
        ".asf",
        ".avi",
        ".bik",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
    ),
    *(".h265", ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov"),
    *(".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".ogg", ".ogm", ".ogv", ".qt", ".rm"),
    *(".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m"),
)
RUN = "geoattn_jax.json"  # is in the folders of runs, which hold videos of their own
OF_OTHER_PROGRAMS = ("@eaDir", "__MACOSX")  # folders with files that are named as the videos are

LeftOut = dict[Path, str]  # what is not used, and why


def usable_videos(folder: Path, left_out: LeftOut) -> list[Path]:
    """The videos in a folder and in those in it, in the order of their paths, that have two frames at least.

    Args:
      folder: where to look; links are followed.
      left_out: to which everything else is added.
    """
    found = []
    _search(folder, (), found, left_out)
    usable = []
    for path in sorted(found):
        problem = _problem(path)
        if problem is None:
            usable.append(path)
        else:
            left_out[path] = problem
    return usable


def why_ignored(path: Path) -> str | None:
    """Why a file or folder is not looked at, whatever it holds; None if it is."""
    if path.name.startswith("."):
        return "hidden"
    if (path / RUN).exists():
        return "the folder of a run"
    return "of another program" if path.name in OF_OTHER_PROGRAMS else None


def _search(folder: Path, above: tuple[tuple[int, int], ...], found: list[Path], left_out: LeftOut) -> None:
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in above:
        left_out[folder] = "a link to a folder that it lies in"
        return
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        left_out[folder] = f"not readable: {error.strerror}"
        return
    for path in entries:
        problem = why_ignored(path)
        if problem is None and path.is_dir():
            _search(path, (*above, here), found, left_out)
        elif problem is None and path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            left_out[path] = problem or _why_no_video(path)


def _why_no_video(path: Path) -> str:
    return f"no video by its ending, {path.suffix}" if path.suffix else "without the ending of a video"


def _problem(path: Path) -> str | None:
    """Why a file cannot be used; it needs two frames, between which flow can be computed."""
    if path.is_symlink() and not path.exists():
        return f"a link to {os.readlink(path)}, which is not there"
    if not path.is_file():
        return "no file"
    if path.stat().st_size == 0:
        return "empty"
    try:
        frames = len(list(read_frames(path, stop=2)))
    except VideoError as error:
        return str(error).partition(": ")[2]
    return None if frames == 2 else "it has one frame only"
