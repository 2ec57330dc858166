"""Results of expensive stages between phases (extracted features, say), kept so that a rerun skips them."""

import contextlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from geoattn_jax.files import replacing
from geoattn_jax.training.processes import first_does, first_says
from geoattn_jax.training.workdir import WorkdirError


def cached_arrays(path: Path, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Reads the arrays kept in a file or, if there is none yet, computes and keeps them.

    What was computed from other settings must lie in another file: keep the file in a workdir, which belongs
    to one config.

    Args:
      path: the file, `NAME.npz`; its folder is created.
      compute: gives named arrays; called only if the file is missing, by several processes in all of them.

    Returns: the arrays, in both cases as the file has them.
    Raises: WorkdirError if the file is damaged.
    """
    if not first_says(path.exists):
        arrays = {name: np.asarray(array) for name, array in compute().items()}
        first_does(lambda: _write(path, arrays), None)
    with opened_archive(path) as archive:
        return dict(archive)  # reading a whole array verifies its checksum


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_array(path: Path, name: str) -> np.ndarray:
    """One of the arrays kept in a file; the others, however large, are not read.

    Args:
      path: the file, by `cached_arrays` or `stored_rows`.
      name: of the array.

    Raises: WorkdirError if the file is damaged or has no such array.
    """
    with opened_archive(path) as archive:
        return archive[name]


@contextlib.contextmanager
def opened_archive(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """A file of arrays, none of which is read yet.

    Raises: WorkdirError if the file, or what is read of it while the context lasts, is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> WorkdirError:
    """The error for a file of kept results that cannot be read."""
    return WorkdirError(f"{path} is damaged ({error}); delete it to compute it again")
