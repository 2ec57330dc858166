"""Folders of clips: how they are split, and what happens to those that cannot be used."""

import logging
import os
import shutil

import pytest
from video_files import cut_off, edit, plain_frames, write_avi, write_with_opencv

from geoattn_jax.data.splits import SPLITS
from geoattn_jax.data.video import write_video
from geoattn_jax.data.video_folder import load_video_folder
from geoattn_jax.training.workdir import MARKER


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_avi(tmp_path_factory.mktemp("clip") / "clip.avi", plain_frames(2))


@pytest.fixture
def add(clip, tmp_path):
    """Adds numbered clips to a folder."""

    def add(folder, count, first=0):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            shutil.copy(clip, tmp_path / folder / f"clip_{number:02}.avi")

    return add


@pytest.fixture
def left_out(caplog, tmp_path):
    """What the one warning names, relative to the folder: file and reason."""

    def left_out():
        (message,) = caplog.messages
        first, *lines = message.split("\n")
        assert first == f"left out of {tmp_path}:"
        assert all(line.startswith("  '") for line in lines)
        assert lines == sorted(lines)
        return dict(line[3:].split("': ", 1) for line in lines)

    with caplog.at_level(logging.WARNING):
        yield left_out


def all_names(folder):
    return sorted(name for split in SPLITS for name in names(folder, split))


def names(folder, split):
    return [f"{clip.path.parent.name}/{clip.path.name}" for clip in folder.clips[split]]


def test_every_class_is_split_and_every_clip_is_in_one_split(add, tmp_path):
    for name, count in (("wash", 8), ("cut", 20), ("peel", 3)):
        add(name, count)
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "peel", "wash")
    counts = {
        split: [sum(clip.label == label for clip in folder.clips[split]) for label in range(3)]
        for split in SPLITS
    }
    assert counts == {"train": [12, 1, 5], "validation": [3, 1, 1], "test": [5, 1, 2]}
    everything = [name for split in SPLITS for name in names(folder, split)]
    assert len(set(everything)) == len(everything) == 31
    for clips in folder.clips.values():
        assert all(clip.path.parent.name == folder.class_names[clip.label] for clip in clips)
        assert list(clips) == sorted(clips, key=lambda clip: clip.path)


def test_the_split_is_the_seeds(add, tmp_path):
    add("cut", 12)
    add("wash", 12)
    first, again, other = (load_video_folder(tmp_path, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert names(first, "test") != names(other, "test")
    of_class = [
        [name[-6:] for name in names(first, "test") if name.startswith(kind)] for kind in ("cut", "wash")
    ]
    assert of_class[0] != of_class[1], "each class is shuffled by itself"


def test_folders_may_say_the_split(add, tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for name in ("cut", "wash"):
            add(f"{split}/{name}", count, first=10 * count)
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "wash")
    assert names(folder, "test") == [f"{name}/clip_{n}.avi" for name in ("cut", "wash") for n in (20, 21)]
    assert [len(folder.clips[split]) for split in ("train", "validation")] == [4, 2]
    add("validation/cut", 1, first=50)
    folder = load_video_folder(tmp_path, seed=0)
    assert names(folder, "validation") == ["cut/clip_50.avi"]
    assert len(folder.clips["train"]) == 6


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.mov", "mp4v"), ("x.m4v", "mp4v"), ("x.3gp", "mp4v"), ("x.mkv", "VP80"), ("x.webm", "VP90"),
     ("x.mpg", "MPG2"), ("x.MTS", "MPG2"), ("x.ts", "mp4v"), ("x.flv", "FLV1"), ("x.wmv", "WMV2"),
     ("x.AVI", "MJPG"), ("x.gif", None), ("x.Mp4", None)],
)  # fmt: skip
def test_every_format_counts(add, tmp_path, caplog, name, codec):
    add("cut", 3)
    add("wash", 3)
    path, frames = tmp_path / "cut" / name, plain_frames(5, (32, 48))
    if codec is None:
        write_video(path.with_suffix(path.suffix.lower()), frames, 5.0)
        path.with_suffix(path.suffix.lower()).rename(path)
    else:
        write_with_opencv(path.with_suffix(path.suffix.lower()), frames, codec).rename(path)
    folder = load_video_folder(tmp_path, seed=0)
    assert f"cut/{name}" in all_names(folder)
    assert not caplog.messages


def test_nested_folders_count_for_their_class(add, tmp_path, caplog):
    for folder in ("cut", "cut/alice", "cut/alice/monday", "wash/bob.mp4"):
        add(folder, 3)
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "wash")
    clips = [clip for split in SPLITS for clip in folder.clips[split]]
    parents = [str(clip.path.parent.relative_to(tmp_path)) for clip in clips]
    assert {place: parents.count(place) for place in parents} == {
        "cut": 3, "cut/alice": 3, "cut/alice/monday": 3, "wash/bob.mp4": 3,
    }  # fmt: skip
    assert all(
        str(clip.path.relative_to(tmp_path)).startswith(folder.class_names[clip.label]) for clip in clips
    )
    assert not caplog.messages


def test_links_are_followed_and_circles_are_not(add, tmp_path, left_out, clip):
    add("cut", 3)
    add("wash", 3)
    elsewhere = tmp_path.parent / f"{tmp_path.name}_elsewhere"
    write_avi(elsewhere / "far.avi", plain_frames(2))
    (tmp_path / "cut" / "more").symlink_to(elsewhere)
    (tmp_path / "cut" / "linked.avi").symlink_to(clip)
    (tmp_path / "cut" / "up").symlink_to(tmp_path / "cut")
    (tmp_path / "cut" / "lost.avi").symlink_to("nowhere.avi")
    folder = load_video_folder(tmp_path, seed=0)
    assert {"more/far.avi", "cut/linked.avi"} < {*all_names(folder)}
    assert len(all_names(folder)) == 8
    assert left_out() == {
        "cut/lost.avi": "a link to nowhere.avi, which is not there",
        "cut/up": "a link to a folder that it lies in",
    }


def test_what_is_left_out_is_named_once_with_its_reason(add, tmp_path, left_out):
    add("cut", 3)
    add("wash", 3)
    (tmp_path / "cut" / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "cut" / "empty.mkv").write_bytes(b"")
    (tmp_path / "cut" / "notes.txt").write_text("no clip")
    (tmp_path / "cut" / "clip_03").write_text("no clip")
    (tmp_path / "cut" / "._clip_00.avi").write_text("of macOS")
    (tmp_path / "cut" / "old" / "__MACOSX").mkdir(parents=True)
    os.mkfifo(tmp_path / "cut" / "pipe.mp4")
    write_avi(tmp_path / "wash" / "new" / "single.avi", plain_frames(1))
    add("__MACOSX/cut", 2)
    add(".trash", 2)
    (tmp_path / "stray.avi").write_bytes((tmp_path / "cut" / "clip_00.avi").read_bytes())
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "wash")
    assert len(all_names(folder)) == 6
    said = left_out()
    assert said.pop("cut/bad.mp4").startswith("OpenCV cannot read it")
    assert said == {
        ".trash": "hidden",
        "__MACOSX": "of another program",
        "cut/._clip_00.avi": "hidden",
        "cut/clip_03": "without the ending of a video",
        "cut/empty.mkv": "empty",
        "cut/notes.txt": "no video by its ending, .txt",
        "cut/old/__MACOSX": "of another program",
        "cut/pipe.mp4": "no file",
        "stray.avi": "no file of a class: it lies beside the classes' folders",
        "wash/new/single.avi": "it has one frame only",
    }


def test_a_file_of_a_codec_that_opencv_lacks_is_left_out_with_its_name(add, tmp_path, left_out):
    add("cut", 3)
    add("wash", 3)
    path = write_with_opencv(tmp_path / "cut" / "new.mkv", plain_frames(3, (32, 48)), "mp4v")
    edit(path, b"V_MPEG4/ISO/ASP", b"V_AV1".ljust(15, b"\0"))
    load_video_folder(tmp_path, seed=0)
    (reason,) = left_out().values()
    assert "its codec is AV1" in reason
    assert "convert it to H.264" in reason


def test_runs_in_the_folder_are_no_classes(add, tmp_path, left_out):
    for folder in ("cut", "wash", "run/figures", "cut/run/figures"):
        add(folder, 3)
    for folder in ("run", "cut/run"):
        (tmp_path / folder / MARKER).write_text("{}")
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "wash")
    assert len(all_names(folder)) == 6
    assert left_out() == {"run": "the folder of a run", "cut/run": "the folder of a run"}


def test_nothing_left_out_is_nothing_said(add, tmp_path, caplog):
    add("cut", 3)
    add("wash", 3)
    load_video_folder(tmp_path, seed=0)
    assert not caplog.messages


@pytest.mark.parametrize("names", [("Train", "TEST", "Val"), ("train", "Test", "Validation")])
def test_splits_are_named_in_capitals_or_not(add, tmp_path, names, caplog):
    for number, split in enumerate(names):
        for kind in ("cut", "wash"):
            add(f"{split}/{kind}/person", 1, first=number)
    folder = load_video_folder(tmp_path, seed=0)
    assert [len(folder.clips[split]) for split in ("train", "test", "validation")] == [2, 2, 2]
    for split, name in zip(("train", "test", "validation"), names, strict=True):
        assert all(clip.path.is_relative_to(tmp_path / name) for clip in folder.clips[split])
    assert not caplog.messages


@pytest.mark.parametrize("given", [["train"], ["train", "val"]])
def test_a_split_without_a_folder_is_taken_from_the_training_clips(add, tmp_path, given):
    for split in given:
        for kind in ("cut", "wash"):
            add(f"{split}/{kind}", 8)
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "wash")
    counts = {split: len(folder.clips[split]) for split in SPLITS}
    if given == ["train"]:
        assert counts == {"train": 10, "validation": 2, "test": 4}
    else:
        assert counts == {"train": 12, "validation": 16, "test": 4}


def test_folders_and_files_beside_the_splits_are_named(add, tmp_path, left_out):
    for split in ("train", "test", "holdout"):
        for kind in ("cut", "wash"):
            add(f"{split}/{kind}", 3)
    add("train/peel", 3)
    (tmp_path / "labels.csv").write_text("")
    (tmp_path / "test" / "stray.avi").write_bytes((tmp_path / "test" / "cut" / "clip_00.avi").read_bytes())
    folder = load_video_folder(tmp_path, seed=0)
    assert folder.class_names == ("cut", "peel", "wash")
    assert left_out() == {
        "holdout": "a folder beside those of the splits, train, validation or val, and test",
        "labels.csv": "no file of a class: it lies beside the classes' folders",
        "test/peel": "no such folder: test is without this class",
        "test/stray.avi": "no file of a class: it lies beside the classes' folders",
    }


def test_a_class_may_be_called_like_a_split(add, tmp_path):
    for kind in ("bus", "Train"):
        add(kind, 4)
    assert load_video_folder(tmp_path, seed=0).class_names == ("Train", "bus")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["train/cut", "train/wash", "other/cut"], r"train may be a class or the split train; add a folder"),
        (["test/cut", "val/cut"], r"must hold a folder train beside test, validation; add it"),
        (["train/cut", "val/cut", "Validation/cut"], r"are both for the split validation; keep one"),
        (["train", "test"], r"train must hold folders of videos for at least two classes, found \[\]"),
        (
            ["train/cut", "train/wash", "test"],
            r"test must hold a folder of videos for each class, found none",
        ),
    ],
)
def test_unclear_splits_are_named(add, tmp_path, folders, said):
    for folder in folders:
        add(folder, 3)
    with pytest.raises(ValueError, match=said):
        load_video_folder(tmp_path, seed=0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.rename(path.with_suffix(".doc")),
        lambda path: path.unlink(),
        lambda path: cut_off(path, 0.1),
    ],
)
@pytest.mark.parametrize("kind", ["train/wash", "test/wash"])
def test_a_class_without_a_usable_file_is_an_error(add, tmp_path, caplog, spoil, kind):
    for split in ("train", "test"):
        for name in ("cut", "peel", "wash"):
            add(f"{split}/{name}", 3)
    files = [*(tmp_path / kind).iterdir()]
    for path in files:
        spoil(path)
    with pytest.raises(
        ValueError, match=rf"{kind} must hold videos of its class, none of its files can be used"
    ):
        load_video_folder(tmp_path, seed=0)
    assert len([*(tmp_path / kind).iterdir()]) == caplog.text.count(f"'{kind}/")


def test_a_class_name_that_is_not_text_is_refused(add, tmp_path):
    add("cut", 3)
    add("wash", 3)
    os.rename(tmp_path / "wash", os.fsencode(tmp_path) + b"/w\xe4sche")
    with pytest.raises(
        ValueError, match=r"a class's name must be valid Unicode, got '.*w.udce4sche'; rename"
    ):
        load_video_folder(tmp_path, seed=0)


def test_a_file_name_that_is_not_text_is_left_out(add, tmp_path, left_out):
    add("cut", 4)
    add("wash", 3)
    os.rename(tmp_path / "cut" / "clip_03.avi", os.fsencode(tmp_path) + b"/cut/w\xe4sche.avi")
    assert len(all_names(load_video_folder(tmp_path, seed=0))) == 6
    assert left_out() == {
        "cut/w\\udce4sche.avi": "its name is not valid Unicode, which OpenCV needs; rename it"
    }


def test_too_few_usable_clips_are_named(add, tmp_path):
    add("cut", 3)
    add("wash", 2)
    (tmp_path / "wash" / "bad.avi").write_bytes(b"no video")
    with pytest.raises(
        ValueError, match=r"wash must hold at least 3 usable clips, one for each of train, test, "
    ):
        load_video_folder(tmp_path, seed=0)


def test_one_class_is_not_enough(add, tmp_path):
    add("cut", 3)
    with pytest.raises(ValueError, match=r"for at least two classes, found \['cut'\]"):
        load_video_folder(tmp_path, seed=0)


def test_a_test_class_without_training_clips_is_named(add, tmp_path):
    for path in ("train/cut", "train/wash", "test/cut", "test/peel"):
        add(path, 2)
    with pytest.raises(
        ValueError, match=r"test/peel is of a class without training clips; add some as .*train/peel"
    ):
        load_video_folder(tmp_path, seed=0)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'.*nowhere' is not a folder; name one that holds"):
        load_video_folder(tmp_path / "nowhere", seed=0)
