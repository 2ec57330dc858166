"""Files that are whole or not there."""

import pytest

from geoattn_jax.files import replacing, temporary_of, write_text


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
