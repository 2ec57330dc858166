"""Labelled clips from a folder with a folder of video files for each class.

    FOLDER/CLASS/**/*.mp4            split at random, the same way for the same seed
    FOLDER/train/CLASS/**/*.mp4      split as the folders say, in capitals or not; `val` is `validation`, too.
    FOLDER/test/CLASS/**/*.mp4       Without `test` or `validation` some training clips are taken for it

Clips cut from one recording resemble each other: put them into the same split, by folders of your own.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geoattn_jax.data.splits import SPLITS, Split
from geoattn_jax.data.video import is_unicode
from geoattn_jax.data.video_files import LeftOut, usable_videos, why_ignored

HELD_OUT = {"test": 0.25, "validation": 0.2}  # one after the other, of what is left of each class's clips
SPLIT_OF = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}  # a folder

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

    Files are of any format that OpenCV reads, and may lie in folders of their class's folder. What is left
    out, such as a file that cannot be read or has a single frame, is named in one warning, with the reason.

    Args:
      folder: of classes' folders, or of `train` and others of the splits with such folders in them.
      seed: of the random split.

    Raises: FileNotFoundError if the folder is not there; ValueError, naming folder and class, if there are
      less than two classes, a class has too few usable clips to be split or none in its folder of a split, a
      split has a class that the training clips lack, or it is unclear which folder is which split.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"load_video_folder: {str(folder)!r} is not a folder; name one that holds a folder of videos for "
            f"each class"
        )
    left_out: LeftOut = {}
    split_folders = _split_folders(folder, left_out)
    found = {split: _usable_clips(path, left_out) for split, path in split_folders.items()}
    _say_what_is_left_out(folder, left_out, _missing_classes(found, split_folders))
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


def _split_folders(folder: Path, left_out: LeftOut) -> dict[Split, Path]:
    """The folders of the splits that are given, or the folder itself for training."""
    folders = _folders(folder, {})
    named = [(SPLIT_OF[path.name.lower()], path) for path in folders if path.name.lower() in SPLIT_OF]
    if not named or (len(named) == 1 and not _folders(named[0][1], {})):
        return {"train": folder}  # one class may be called "train", two are not called "train" and "test"
    if len(named) == 1 and len(folders) > 1:
        raise ValueError(
            f"load_video_folder: {named[0][1]} may be a class or the split {named[0][0]}; add a folder of "
            f"another split, or put the class's videos into it without folders"
        )
    splits: dict[Split, Path] = {}
    for split, path in named:
        if split in splits:
            raise ValueError(
                f"load_video_folder: {path} and {splits[split].name} are both for the split {split}; keep one"
            )
        splits[split] = path
    if "train" not in splits:
        raise ValueError(
            f"load_video_folder: {folder} must hold a folder train beside {', '.join(sorted(splits))}; add it"
        )
    for path in _folders(folder, left_out):
        if path not in splits.values():
            left_out[path] = "a folder beside those of the splits, train, validation or val, and test"
    _leave_out_files(folder, left_out)
    return {split: splits[split] for split in SPLITS if split in splits}


def _usable_clips(folder: Path, left_out: LeftOut) -> ClipsOfClasses:
    classes = _folders(folder, left_out)
    _leave_out_files(folder, left_out)
    for path in classes:
        if not is_unicode(path):
            raise ValueError(
                f"load_video_folder: a class's name must be valid Unicode, got {str(path)!a}; rename it"
            )
    return {path.name: usable_videos(path, left_out) for path in classes}


def _folders(folder: Path, left_out: LeftOut) -> list[Path]:
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    left_out.update({path: why for path in folders if (why := why_ignored(path))})
    return [path for path in folders if not why_ignored(path)]


def _leave_out_files(folder: Path, left_out: LeftOut) -> None:
    for path in folder.iterdir():
        if not path.is_dir():
            left_out[path] = why_ignored(path) or "no file of a class: it lies beside the classes' folders"


def _missing_classes(found: Mapping[Split, ClipsOfClasses], folders: Mapping[Split, Path]) -> LeftOut:
    return {
        folders[split] / name: f"no such folder: {split} is without this class"
        for split in found
        for name in found["train"]
        if name not in found[split]
    }


def _say_what_is_left_out(folder: Path, *left_out: LeftOut) -> None:
    reasons = {path: reason for part in left_out for path, reason in part.items()}
    if reasons:
        lines = [f"  {str(path.relative_to(folder))!r}: {reasons[path]}" for path in sorted(reasons)]
        _log.warning("left out of %s:\n%s", folder, "\n".join(lines))


def _check(found: Mapping[Split, ClipsOfClasses], folders: Mapping[Split, Path]) -> None:
    """Checks that there are classes, and clips of each of them for all splits."""
    training, held_out = found["train"], [split for split in HELD_OUT if split not in found]
    if len(training) < 2:
        raise ValueError(
            f"load_video_folder: {folders['train']} must hold folders of videos for at least two classes, "
            f"found {list(training)}"
        )
    for split, by_class in found.items():
        if not by_class:
            raise ValueError(
                f"load_video_folder: {folders[split]} must hold a folder of videos for each class, found none"
            )
        for name, paths in by_class.items():
            if not paths:
                raise ValueError(
                    f"load_video_folder: {folders[split] / name} must hold videos of its class, none of its "
                    f"files can be used; add some, or take the folder away"
                )
            if name not in training:
                raise ValueError(
                    f"load_video_folder: {folders[split] / name} is of a class without training clips; "
                    f"add some as {folders['train'] / name}"
                )
    for name, paths in training.items():
        if len(paths) <= len(held_out):
            raise ValueError(
                f"load_video_folder: {folders['train'] / name} must hold at least {len(held_out) + 1} usable "
                f"clips, one for each of {', '.join(['train', *held_out])}; it has {len(paths)}"
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
