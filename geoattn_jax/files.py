"""Files that are either whole or not there, whenever the process is killed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file whose content replaces `path` when the context ends; readers see the old or the new one.

    If the context ends with an error, `path` stays as it was.

    Args:
      path: the file; its folder is made if missing. The content is collected in `.NAME.tmp` beside it.

    Yields: the file to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file in the way of `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())


def temporary_of(path: Path) -> Path:
    """Where `replacing` collects a file's content."""
    return path.with_name(f".{path.name}.tmp")


def _sync_folder(folder: Path) -> None:
    # Only with this does a rename survive a power failure.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
