"""Files that are whole or not there."""

import errno

import numpy as np
import pytest
from full_disk import no_space_beyond

from geoattn_jax.files import DiskFullError, naming_full_disk, replacing, temporary_of, write_text


def test_text_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "notes.md"
    for text in ("± first\n", "second"):
        write_text(path, text)
        assert path.read_bytes() == text.encode()
    assert list(path.parent.iterdir()) == [path]


def test_the_old_content_stays_until_the_end(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "notes.md"
    if old is not None:
        path.write_bytes(old)
    before = list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="half-way"), replacing(path):
        raise RuntimeError("half-way")
    assert list(tmp_path.iterdir()) == before
    assert old is None or path.read_bytes() == old


def test_what_a_killed_process_left_is_no_obstacle(tmp_path):
    path = tmp_path / "notes.md"
    temporary_of(path).write_text("longer than what comes next")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


WRITERS = {
    "at once": lambda file: file.write(bytes(3000)),
    "bit by bit": lambda file: [file.write(bytes(100)) for _ in range(30)],
    "numpy": lambda file: np.save(file, np.zeros(375)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, write, old):
    path = tmp_path / "array.npy"
    if old is not None:
        path.write_bytes(old)
    with no_space_beyond(1000), pytest.raises(DiskFullError) as caught, replacing(path) as file:
        write(file)
    assert str(caught.value).startswith(f"{path}: there is no space left to write it (")
    assert "free some and run the same command to go on" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if old is None else ["array.npy"])
    assert old is None or path.read_bytes() == old
    with replacing(path) as file:
        write(file)
    assert path.stat().st_size >= 3000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_all_kinds_of_no_space_are_one(tmp_path, number):
    with pytest.raises(DiskFullError, match="no space left"), naming_full_disk(tmp_path):
        raise OSError(number, "as the system says it")


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "no"), OSError("of a library"), ValueError()]
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, naming_full_disk(tmp_path):
        raise error
    assert caught.value is error
