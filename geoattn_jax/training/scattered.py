"""An array of many rows that are computed in any order, kept on the disk and read in order, some at a time.

The file lasts as long as it is needed. What is to be kept, and computed in order, is for `stored_rows`.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int, Shaped

from geoattn_jax.files import naming_full_disk

BYTES_AT_ONCE = 2**26  # that are read; one row at least

Scattered = tuple[Int[np.ndarray, " k"], Shaped[np.ndarray, "k p"]]  # the numbers of some rows, and the rows


@dataclasses.dataclass(frozen=True)
class ScatteredRows:
    """An array in a file; every iteration gives its rows in order, about BYTES_AT_ONCE of them at a time.

    Attributes:
      file: open.
      shape: of the array.
      dtype: of its numbers.
    """

    file: BinaryIO
    shape: tuple[int, int]
    dtype: np.dtype

    def __iter__(self) -> Iterator[Shaped[np.ndarray, "_ p"]]:
        count, width = self.shape
        row_bytes = width * self.dtype.itemsize
        at_once = max(1, BYTES_AT_ONCE // row_bytes)
        for start in range(0, count, at_once):
            self.file.seek(start * row_bytes)
            content = self.file.read(min(at_once, count - start) * row_bytes)
            yield np.frombuffer(content, self.dtype).reshape(-1, width)


@contextlib.contextmanager
def scattered_rows(path: Path, count: int, portions: Iterable[Scattered]) -> Iterator[ScatteredRows]:
    """Writes the rows of an array as they come, and opens it.

    Args:
      path: what an error names; the file lies in its folder, which is created, and has no name there.
      count: how many rows there are.
      portions: every row once, all of one length and dtype.

    Yields: the array; it is gone when the context ends, or the process, however that ends.
    Raises: DiskFullError if there is no space left for it; ValueError if portions do not hold count rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(naming_full_disk(path))
        file = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
        width, dtype = _write(file, count, portions)
        yield ScatteredRows(file, (count, width), dtype)


def _write(file: BinaryIO, count: int, portions: Iterable[Scattered]) -> tuple[int, np.dtype]:
    """Gives the rows' length and dtype."""
    written, rows = 0, np.empty((0, 0))
    for numbers, rows in portions:
        for number, row in zip(numbers.tolist(), np.ascontiguousarray(rows), strict=True):
            file.seek(number * row.nbytes)
            file.write(row.data)
        written += len(rows)
    if written != count:
        raise ValueError(f"scattered_rows: portions must hold {count} rows, got {written}")
    file.flush()
    return rows.shape[1], rows.dtype
