"""The annotations of MPII Cooking Activities: who does what from when to when, and the splits by subject.

Rohrbach et al. 2012. The file is `detectionGroundtruth-1-0.csv`: a row for each interval, with or without a
row of column names above.
"""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from geoattn_jax.ops.checks import check_choice

Protocol = Literal["fixed", "fold_1", "fold_2", "fold_3", "fold_4", "fold_5", "fold_6", "fold_7"]
Split = Literal["train", "test"]

COLUMNS = ("subject", "file_name", "start_frame", "end_frame", "category_id", "category_name")
BACKGROUND = 1  # the category of what is none of the 64 activities
TEST_SUBJECTS = (8, 10, 16, 17, 18, 19, 20)  # each is the test subject of one fold
TRAINING_SUBJECTS = (11, 12, 13, 14, 15)
SUBJECTS = tuple(sorted(TEST_SUBJECTS + TRAINING_SUBJECTS))
PROTOCOLS = ("fixed", *(f"fold_{number}" for number in range(1, len(TEST_SUBJECTS) + 1)))
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Interval:
    """A row: a part of a video in which a subject does one thing.

    Attributes:
      subject: the person's number.
      video: the file's name, without `.avi`.
      start: the first frame, counted from 1.
      end: the last frame, still inside.
      category: what is done; `BACKGROUND` is a category of its own.
      name: the category's.
      line: of the annotation file, counted from 1.
    """

    subject: int
    video: str
    start: int
    end: int
    category: int
    name: str
    line: int


def read_intervals(path: Path) -> list[Interval]:
    """Reads an annotation file, its rows in order; spaces around values do not count.

    Raises: ValueError naming the file, the line and the column of a damaged row.
    """
    intervals, seen = [], {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells) and (intervals or not _is_header(cells)):
                    intervals.append(_read_row(cells, reader.line_num))
                    _check_against(seen, intervals[-1])
        except (csv.Error, ValueError) as error:
            raise ValueError(
                f"read_intervals: {path}, line {reader.line_num}: {error}; restore the file from the download"
            ) from error
    if not intervals:
        raise ValueError(f"read_intervals: {path} has no rows; restore the file from the download")
    return intervals


def class_names(intervals: Sequence[Interval]) -> dict[int, str]:
    """The names of all categories that occur, in the order of the classes: by category number."""
    return dict(sorted({interval.category: interval.name for interval in intervals}.items()))


def subjects_of(protocol: Protocol, split: Split) -> tuple[int, ...]:
    """The subjects of a split.

    Args:
      protocol: "fold_1" to "fold_7", each tested on one of `TEST_SUBJECTS` and trained on all other subjects;
        or "fixed", tested on all of `TEST_SUBJECTS` and trained on the other five.
      split: "train" or "test".

    Raises: ValueError for an unknown protocol or split.
    """
    check_choice("subjects_of", "protocol", protocol, PROTOCOLS)
    check_choice("subjects_of", "split", split, SPLITS)
    fold = PROTOCOLS.index(protocol)
    test = TEST_SUBJECTS if protocol == "fixed" else TEST_SUBJECTS[fold - 1 : fold]
    return test if split == "test" else tuple(subject for subject in SUBJECTS if subject not in test)


def _is_header(cells: Sequence[str]) -> bool:
    return [cell.lower() for cell in cells[:2]] == list(COLUMNS[:2])


def _read_row(cells: Sequence[str], line: int) -> Interval:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"a row must have the columns {', '.join(COLUMNS)}, got {', '.join(cells)}")
    row = dict(zip(COLUMNS, cells, strict=True))
    interval = Interval(
        subject=_whole(row, "subject"),
        video=row["file_name"],
        start=_whole(row, "start_frame"),
        end=_whole(row, "end_frame"),
        category=_whole(row, "category_id"),
        name=row["category_name"],
        line=line,
    )
    if interval.subject not in SUBJECTS:
        raise ValueError(f"subject must be one of {SUBJECTS}, got {interval.subject}")
    if interval.end < interval.start:
        raise ValueError(f"end_frame must be start_frame {interval.start} or later, got {interval.end}")
    for column in ("file_name", "category_name"):
        if not row[column]:
            raise ValueError(f"{column} must be a name, got nothing")
    return interval


def _whole(row: Mapping[str, str], column: str) -> int:
    cell = row[column]
    if not (cell.isascii() and cell.isdecimal() and int(cell) > 0):
        raise ValueError(f"{column} must be a whole number above 0, got {cell!r}")
    return int(cell)


def _check_against(seen: dict[tuple[str, int | str], int | str], interval: Interval) -> None:
    """Checks that a category has one name and a video one subject, by those seen before."""
    for column, key, value in (
        ("category_name", interval.category, interval.name),
        ("subject", interval.video, interval.subject),
    ):
        before = seen.setdefault((column, key), value)
        if before != value:
            raise ValueError(f"{column} must be {before!r} as in an earlier row of {key!r}, got {value!r}")
