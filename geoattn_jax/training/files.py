"""Files that are either whole or not there, whenever the process is killed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


class WorkdirError(RuntimeError):
    """A folder that cannot be used as it is. It has been left untouched."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file whose content replaces `path` when the context ends; readers see the old or the new one.

    Args:
      path: the file; its folder must exist. The content is collected in `.NAME.tmp` beside it.

    Yields: the file to write to.
    """
    temporary = temporary_of(path)
    with temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


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
