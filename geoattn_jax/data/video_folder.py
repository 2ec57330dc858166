"""Labelled clips from a folder with a folder of video files for each class.

    FOLDER/CLASS/*.mp4            split at random, the same way for the same seed
    FOLDER/train/CLASS/*.mp4      split as the folders say; without a folder `validation`
    FOLDER/test/CLASS/*.mp4       some training clips are taken for it

Clips cut from one recording resemble each other: put them into the same split, by folders of your own.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geoattn_jax.data.splits import SPLITS, Split
from geoattn_jax.data.video import VideoError, read_frames

SUFFIXES = (".avi", ".mp4")
HELD_OUT = {"test": 0.25, "validation": 0.2}  # one after the other, of what is left of each class's clips

ClipsOfClasses = dict[str, list[Path]]

_log = logging.getLogger(__name__)


class LabelledClip(NamedTuple):
    """A video file and the number of its class."""

    path: Path
    label: int


@dataclasses.dataclass(frozen=True)
class VideoFolder:
    """The clips of a folder.

    Attributes:
      class_names: the names of the classes' folders, sorted.
      clips: of each split, in the order of their paths.
    """

    class_names: tuple[str, ...]
    clips: Mapping[Split, tuple[LabelledClip, ...]]


def load_video_folder(folder: str | Path, *, seed: int) -> VideoFolder:
    """Finds the clips of a folder; see the module for how it may look.

    Files are .avi or .mp4. One that cannot be read, or has a single frame, is left out with a warning.

    Args:
      folder: of classes' folders, or of `train`, `test` and perhaps `validation` with such folders in them.
      seed: of the random split.

    Raises: FileNotFoundError if the folder is not there; ValueError, naming folder and class, if there are
      less than two classes, a class has too few usable clips to be split, or a split has a class that the
      training clips lack.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"load_video_folder: {str(folder)!r} is not a folder; name one that holds a folder of .mp4 or "
            f".avi files for each class"
        )
    split_folders = {split: folder / split for split in SPLITS if _has_folders(folder / split)}
    if not {"train", "test"} <= split_folders.keys():
        split_folders = {"train": folder}
    found = {split: _usable_clips(path) for split, path in split_folders.items()}
    _check(found, split_folders)
    for split, share in HELD_OUT.items():
        if split not in found:
            found[split], found["train"] = _held_out(found["train"], share, seed)
    class_names = tuple(found["train"])
    return VideoFolder(
        class_names,
        {
            split: tuple(
                LabelledClip(path, class_names.index(name))
                for name, paths in found[split].items()
                for path in paths
            )
            for split in SPLITS
        },
    )


def _has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())


def _usable_clips(folder: Path) -> ClipsOfClasses:
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = {path.name: _video_files(path) for path in classes}
    return {name: [path for path in paths if _is_usable(path)] for name, paths in files.items() if paths}


def _video_files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _is_usable(path: Path) -> bool:
    """Whether there are two frames, between which flow can be computed."""
    try:
        frames = len(list(read_frames(path, stop=2)))
    except VideoError as error:
        _log.warning("left out: %s", error)
        return False
    if frames < 2:
        _log.warning("left out: %s has one frame only", path)
    return frames == 2


def _check(found: Mapping[Split, ClipsOfClasses], folders: Mapping[Split, Path]) -> None:
    """Checks that there are classes, and clips of each of them for all splits."""
    training, held_out = found["train"], [split for split in HELD_OUT if split not in found]
    if len(training) < 2:
        raise ValueError(
            f"load_video_folder: {folders['train']} must hold folders of .mp4 or .avi files for at least two "
            f"classes, found {list(training)}"
        )
    for name, paths in training.items():
        if len(paths) <= len(held_out):
            raise ValueError(
                f"load_video_folder: {folders['train'] / name} must hold at least {len(held_out) + 1} usable "
                f"clips, one for each of {', '.join(['train', *held_out])}; it has {len(paths)}"
            )
    for split, by_class in found.items():
        for name in by_class.keys() - training.keys():
            raise ValueError(
                f"load_video_folder: {folders[split] / name} is of a class without training clips; "
                f"add some as {folders['train'] / name}"
            )


def _held_out(clips: ClipsOfClasses, share: float, seed: int) -> tuple[ClipsOfClasses, ClipsOfClasses]:
    """Takes a share of each class's clips, at least one; returns them, and what is left."""
    taken, left = {}, {}
    for number, (name, paths) in enumerate(clips.items()):
        order = np.random.default_rng((seed, number)).permutation(len(paths))
        count = max(1, round(share * len(paths)))
        taken[name], left[name] = (
            sorted(paths[place] for place in part) for part in np.split(order, [count])
        )
    return taken, left
