"""Results of expensive stages between phases (extracted features, say), kept so that a rerun skips them."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from geoattn_jax.files import replacing
from geoattn_jax.training.workdir import WorkdirError


def cached_arrays(path: Path, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Reads the arrays kept in a file or, if there is none yet, computes and keeps them.

    What was computed from other settings must lie in another file: keep the file in a workdir, which belongs
    to one config.

    Args:
      path: the file, `NAME.npz`; its folder is created.
      compute: gives named arrays; called only if the file is missing.

    Returns: the arrays, in both cases as the file has them.
    Raises: WorkdirError if the file is damaged.
    """
    if not path.exists():
        arrays = {name: np.asarray(array) for name, array in compute().items()}
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)  # reading a whole array verifies its checksum
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WorkdirError(f"{path} is damaged ({error}); delete it to compute it again") from error
