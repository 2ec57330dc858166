"""Arrays of many rows (the features of all frames, say), written and read some rows at a time.

They lie in a NumPy archive like other results of stages. Array NAME is there in portions NAME.0, NAME.1, ...,
each with a checksum of its own, or as a whole, NAME.
"""

import collections
import contextlib
import dataclasses
import itertools
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped

from geoattn_jax.files import naming_full_disk, replacing
from geoattn_jax.training.cache import damaged
from geoattn_jax.training.processes import first_says, is_first, wait_for_all

ROWS_AT_ONCE = 1024  # that are in memory; of 4096 numbers in float32, 16 MiB

Portion = Mapping[str, Shaped[np.ndarray, "_ ..."]]  # some more rows of some arrays


@dataclasses.dataclass(frozen=True)
class Rows:
    """An array in a file; every iteration gives its rows in order, at most ROWS_AT_ONCE at a time.

    Attributes:
      path: what errors name.
      archive: the open file.
      name: of the array.

    Raises: WorkdirError, when iterated, if the file is damaged or has no such array.
    """

    path: Path
    archive: zipfile.ZipFile
    name: str

    def __iter__(self) -> Iterator[Shaped[np.ndarray, "_ ..."]]:
        try:
            for member in self._members():
                yield from _read(self.archive, member)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise damaged(self.path, error) from error

    def whole(self) -> Shaped[np.ndarray, "n ..."]:
        """All rows."""
        return np.concatenate(list(self))

    def _members(self) -> Iterator[str]:
        names = set(self.archive.namelist())
        if f"{self.name}.npy" in names:
            return iter([f"{self.name}.npy"])
        portions = list(itertools.takewhile(names.__contains__, map(self._portion, itertools.count())))
        if not portions:
            raise KeyError(f"it has no array {self.name!r}")
        return iter(portions)

    def _portion(self, number: int) -> str:
        return _portion_of(self.name, number)


@dataclasses.dataclass(frozen=True)
class StoredRows:
    """A file of arrays: `stored["NAME"]` is one of them."""

    path: Path
    archive: zipfile.ZipFile

    def __getitem__(self, name: str) -> Rows:
        return Rows(self.path, self.archive, name)


@contextlib.contextmanager
def stored_rows(
    path: Path, compute: Callable[[], Iterable[Portion]], *, keeps: bool = True
) -> Iterator[StoredRows]:
    """Opens the arrays kept in a file or, if there is none yet, writes them while they are computed.

    What was computed from other settings must lie in another file: keep the file in a workdir, which belongs
    to one config.

    Args:
      path: the file, `NAME.npz`; its folder is created. It may have been written by `cached_arrays`.
      compute: gives the arrays' rows, portion by portion; called only if it has to be, by several processes
        in all of them.
      keeps: False computes them in any case, and keeps them on the disk as long as the context lasts.

    Yields: the arrays, and where they were computed "seconds", how long it took.
    Raises: WorkdirError if the file is damaged; DiskFullError if there is no space left for it.
    """
    with contextlib.ExitStack() as stack:
        if keeps:
            if not first_says(path.exists):
                _write_for_all(path, compute())
            file: BinaryIO = stack.enter_context(path.open("rb"))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(naming_full_disk(path))
            # Without a name: it is gone with the process, however that ends.
            file = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
            _write(file, compute())
            file.flush()
        try:
            archive = stack.enter_context(zipfile.ZipFile(file))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise damaged(path, error) from error
        yield StoredRows(path, archive)


def _write_for_all(path: Path, portions: Iterable[Portion]) -> None:
    """Lets the first process write what all compute together."""
    if is_first():
        with replacing(path) as file:
            _write(file, portions)
    else:
        collections.deque(portions, maxlen=0)
    wait_for_all(f"{path.name} is written")


def _write(file: BinaryIO, portions: Iterable[Portion]) -> None:
    """Rows are gathered until they fill a portion, so that sums over portions depend on nothing else."""
    began = time.monotonic()
    with zipfile.ZipFile(file, "w") as archive:
        waiting: dict[str, list[np.ndarray]] = {}
        numbers: dict[str, Iterator[int]] = {}

        def write(name: str, rows: Shaped[np.ndarray, "_ ..."]) -> None:
            _write_array(archive, _portion_of(name, next(numbers.setdefault(name, itertools.count()))), rows)

        for portion in portions:
            for name, rows in portion.items():
                parts = waiting.setdefault(name, [])
                parts.append(np.asarray(rows))
                if sum(map(len, parts)) >= ROWS_AT_ONCE:
                    gathered = np.concatenate(parts)
                    full = len(gathered) - len(gathered) % ROWS_AT_ONCE
                    for start in range(0, full, ROWS_AT_ONCE):
                        write(name, gathered[start : start + ROWS_AT_ONCE])
                    waiting[name] = [gathered[full:]]
        for name, parts in waiting.items():
            rest = np.concatenate(parts)
            if len(rest) or name not in numbers:
                write(name, rest)
        _write_array(archive, "seconds.npy", np.array(time.monotonic() - began))


def _write_array(archive: zipfile.ZipFile, member: str, array: np.ndarray) -> None:
    with archive.open(member, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _read(archive: zipfile.ZipFile, member: str) -> Iterator[Shaped[np.ndarray, "_ ..."]]:
    """The rows of one member; at its end its checksum is verified."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):  # of all arrays but those with very many fields
            raise ValueError(f"{member} has version {version} of NumPy's format")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject or is_fortran:
            raise ValueError(f"{member} is no array of numbers row by row")
        row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        for start in range(0, shape[0], ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, shape[0] - start)
            content = file.read(count * row_bytes)
            if len(content) < count * row_bytes:
                raise EOFError(f"{member} breaks off")
            yield np.frombuffer(content, dtype).reshape(count, *shape[1:])
        if file.read(1):
            raise ValueError(f"{member} is longer than its header says")


def _portion_of(name: str, number: int) -> str:
    return f"{name}.{number}.npy"
