"""A run's metrics: one JSON object per line, continued without a gap or a repetition after a crash."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoattn_jax.files import naming_full_disk, replacing
from geoattn_jax.training.workdir import WorkdirError

BYTES_AT_ONCE = 4096  # that are read from the end on


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, oldest first; a last line that was cut off is left out.

    Raises: WorkdirError if another line is not JSON.
    """
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was cut off, or is empty
    return [_row(path, line, f"line {number}") for number, line in enumerate(lines, start=1)]


def read_last_metrics(path: Path) -> dict[str, Any]:
    """The newest of a metrics file's lines; of the others, however many, none is read.

    Raises: WorkdirError if there is none, or it is not JSON.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0 and tail.count(b"\n") < 2:
            start = max(0, end - BYTES_AT_ONCE)
            file.seek(start)
            tail, end = file.read(end - start) + tail, start
    return _row(path, b"".join(tail.split(b"\n")[-2:-1]), "its last line")


def _row(path: Path, line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        row["step"]
    except (ValueError, TypeError, KeyError) as error:
        raise WorkdirError(f"{path} is damaged in {where} ({error!r}); use another workdir") from error
    return row


class MetricsFile:
    """Writes `metrics.jsonl`.

    Args:
      path: the file; created if missing.
      until: the step at which the run goes on; lines of later steps are dropped.
      lines: how many there must be up to that step; None if that is not known.

    Attributes:
      seconds: what the last kept line says of the time spent; 0 at the start.
      lines: how many there are.

    Raises: WorkdirError if lines that should be there are not.
    """

    def __init__(self, path: Path, *, until: int, lines: int | None):
        rows = read_metrics(path) if path.exists() else []
        kept = [row for row in rows if row["step"] <= until]
        if lines is not None and len(kept) != lines:
            raise WorkdirError(
                f"{path} lacks lines, or has too many, up to the checkpoint's step {until}: "
                f"it was changed or belongs to another run; use another workdir"
            )
        with replacing(path) as file:
            file.writelines(_line(row) for row in kept)
        self.lines = len(kept)
        self.seconds = kept[-1]["seconds"] if kept else 0.0
        self._path, self._file = path, path.open("ab")

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends one line; it outlives this process.

        Raises: DiskFullError if there is no space left for it. The next run drops what was written of it.
        """
        with naming_full_disk(self._path):
            self._file.write(_line(row))
            self._file.flush()
        self.lines += 1

    def sync(self) -> None:
        """Makes the lines outlive a power failure, too; done before each checkpoint, which relies on them."""
        with naming_full_disk(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        with naming_full_disk(self._path):  # a line that there was no space for is tried once more
            self._file.close()


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
