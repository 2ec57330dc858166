"""Files that are either whole or not there, whenever the process is killed and when the disk is full."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# No space on the disk, none left of the user's share of it, and more than one file may have.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(OSError):
    """There is no space left for a file; what it was to replace is as it was."""


def disk_full(path: Path, number: int) -> DiskFullError:
    """The error for a file that could not be written, for one of the reasons in NO_SPACE."""
    return DiskFullError(
        f"{path}: there is no space left to write it ({os.strerror(number)}); "
        f"free some and run the same command to go on"
    )


@contextlib.contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Raises a DiskFullError that names the file where what is done to it fails for want of space."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise disk_full(path, error.errno) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file whose content replaces `path` when the context ends; readers see the old or the new one.

    If the context ends with an error, `path` stays as it was.

    Args:
      path: the file; its folder is made if missing. The content is collected in `.NAME.tmp` beside it.

    Yields: the file to write to.
    Raises: DiskFullError if there is no space left for it.
    """
    with naming_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_of(path)
        try:
            with temporary.open("wb", buffering=0) as unbuffered, _Writer(unbuffered) as file:
                yield file
                file.flush()
                os.fsync(unbuffered.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


class _Writer(io.BufferedWriter):
    """NumPy and Pillow write past Python where a file has a number, and do not notice when that fails."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


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
