"""MPII Cooking's annotations: read with and without a header, damaged rows named; splits by subject."""

import pytest
from mpii_files import ROWS, write_annotations

from geoattn_jax.data.mpii_annotations import (
    PROTOCOLS,
    SUBJECTS,
    TEST_SUBJECTS,
    TRAINING_SUBJECTS,
    Interval,
    class_names,
    read_intervals,
    subjects_of,
)


def test_a_row_is_an_interval(tmp_path):
    intervals = read_intervals(write_annotations(tmp_path))
    assert len(intervals) == len(ROWS)
    assert intervals[2] == Interval(
        subject=8, video="s08-d02-cam-002", start=5, end=8, category=3, name="peel", line=3
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_and_empty_lines_do_not_matter(tmp_path, newline, mark):
    plain = read_intervals(write_annotations(tmp_path, newline=newline))
    path = write_annotations(tmp_path, [ROWS[0], "", *ROWS[1:]], header=True, newline=newline)
    path.write_text(mark + path.read_text(encoding="utf-8"), encoding="utf-8")
    intervals = read_intervals(path)
    assert [interval.line for interval in intervals] == [2, 4, 5, 6]
    assert [vars(i) | {"line": 0} for i in intervals] == [vars(i) | {"line": 0} for i in plain]


def test_classes_are_in_the_order_of_their_numbers(tmp_path):
    names = class_names(read_intervals(write_annotations(tmp_path)))
    assert list(names.items()) == [(1, "Background activity"), (3, "peel"), (7, "cut dice")]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("8,s08-d02-cam-002,5,8,3", "columns subject, file_name"),
        ("8,s08-d02-cam-002,five,8,3,peel", "start_frame must be a whole number above 0, got 'five'"),
        ("8,s08-d02-cam-002,0,8,3,peel", "start_frame must be a whole number above 0, got '0'"),
        ("8,s08-d02-cam-002,5,-8,3,peel", "end_frame must be a whole number above 0, got '-8'"),
        ("8,s08-d02-cam-002,5,4,3,peel", "end_frame must be start_frame 5 or later, got 4"),
        ("9,s09-d02-cam-002,5,8,3,peel", "subject must be one of .*, got 9"),
        ("8,,5,8,3,peel", "file_name must be a name"),
        ("8,s08-d02-cam-002,5,8,3,", "category_name must be a name"),
        (
            "8,s08-d02-cam-002,5,8,7,peel",
            "category_name must be 'cut dice' as in an earlier row of 7, got 'peel'",
        ),
        (
            "10,s08-d02-cam-002,5,8,3,peel",
            "subject must be 8 as in an earlier row of 's08-d02-cam-002', got 10",
        ),
        ('8,"s08' + 200_000 * "-", "field larger than field limit"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, what):
    path = write_annotations(tmp_path, [*ROWS[:2], row])
    with pytest.raises(ValueError, match=rf"detectionGroundtruth-1-0.csv, line 3: .*{what}"):
        read_intervals(path)


def test_an_empty_file_is_refused(tmp_path):
    path = write_annotations(tmp_path, [], header=True)
    with pytest.raises(ValueError, match=r"detectionGroundtruth-1-0\.csv has no rows"):
        read_intervals(path)


def test_every_fold_tests_on_another_subject():
    folds = PROTOCOLS[1:]
    assert len(folds) == 7
    assert [subjects_of(fold, "test") for fold in folds] == [(subject,) for subject in TEST_SUBJECTS]
    for fold in folds:
        train, test = subjects_of(fold, "train"), subjects_of(fold, "test")
        assert sorted(train + test) == sorted(SUBJECTS)
        assert set(TRAINING_SUBJECTS) <= set(train)


def test_the_fixed_split_tests_on_all_seven():
    assert subjects_of("fixed", "train") == TRAINING_SUBJECTS == (11, 12, 13, 14, 15)
    assert subjects_of("fixed", "test") == TEST_SUBJECTS == (8, 10, 16, 17, 18, 19, 20)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("protocol", "split"), [("fold_0", "train"), ("fold_8", "test"), ("fixed", "val")])
def test_other_splits_are_refused(protocol, split):
    with pytest.raises(ValueError, match=r"subjects_of: (protocol|split) must be one of"):
        subjects_of(protocol, split)
