"""Folders of clips: how they are split, and what happens to those that cannot be used."""

import shutil

import pytest
from video_files import plain_frames, write_avi

from geoattn_jax.data.splits import SPLITS
from geoattn_jax.data.video_folder import load_video_folder


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


def names(folder, split):
    return [f"{clip.path.parent.name}/{clip.path.name}" for clip in folder.clips[split]]


def test_every_class_is_split_and_every_clip_is_in_one_split(add, tmp_path):
    for name, count in (("wash", 8), ("cut", 20), ("peel", 3)):
        add(name, count)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no class")
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


def test_capital_suffixes_count_and_hidden_files_do_not(add, tmp_path):
    add("cut", 4)
    add("wash", 3)
    (tmp_path / "cut" / "clip_00.avi").rename(tmp_path / "cut" / "a.AVI")
    (tmp_path / "cut" / "clip_01.avi").rename(tmp_path / "cut" / ".clip_01.avi")
    (tmp_path / "cut" / "notes.txt").write_text("no clip")
    (tmp_path / ".git").mkdir()
    folder = load_video_folder(tmp_path, seed=0)
    everything = [name for split in SPLITS for name in names(folder, split) if name.startswith("cut")]
    assert sorted(everything) == ["cut/a.AVI", "cut/clip_02.avi", "cut/clip_03.avi"]


def test_files_that_cannot_be_used_are_left_out_with_a_warning(add, tmp_path, caplog):
    add("cut", 3)
    add("wash", 3)
    (tmp_path / "cut" / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "cut" / "empty.avi").write_bytes(b"")
    write_avi(tmp_path / "wash" / "single.avi", plain_frames(1))
    folder = load_video_folder(tmp_path, seed=0)
    assert sum(len(clips) for clips in folder.clips.values()) == 6
    assert [message.partition(str(tmp_path))[2][:18] for message in caplog.messages] == [
        "/cut/bad.mp4: Open",
        "/cut/empty.avi: Op",
        "/wash/single.avi h",
    ]
    assert all(message.startswith("left out: ") for message in caplog.messages)


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
