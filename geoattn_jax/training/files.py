"""Files that are either whole or not there, whenever the process is killed."""

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


class WorkdirError(RuntimeError):
    """A folder that cannot be used as it is. It has been left untouched."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file by one with this content; whoever reads it sees the old or the new one, never a part.

    Args:
      path: the file; its folder must exist. The content goes through `.NAME.tmp` beside it.
      content: all of it.
    """
    temporary = temporary_of(path)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def temporary_of(path: Path) -> Path:
    """Where `write_atomically` collects a file's content."""
    return path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
