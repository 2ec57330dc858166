"""The folder of an experiment: it belongs to one experiment, and to one process at a time."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from geoattn_jax.files import DiskFullError, temporary_of, write_text

MARKER = "geoattn_jax.json"
FORMAT = 1


class WorkdirError(RuntimeError):
    """A folder that cannot be used as it is. It has been left untouched."""


Record = Mapping[str, Any]  # what geoattn_jax.json says, of which "config" is the config in force


def unchanged(folder: Path, before: Record | None, now: Record) -> Record:
    """Lets nobody but the very config that started a folder have it.

    Raises: WorkdirError naming the keys that differ.
    """
    if before is not None:
        _check_same_config(folder, before["config"], now["config"])
    return before or now


@contextlib.contextmanager
def open_workdir(
    path: str | os.PathLike,
    config: Mapping[str, Any],
    *,
    update: Callable[[Path, Record | None, Record], Record] = unchanged,
) -> Iterator[Path]:
    """Claims a folder for an experiment: a new or empty one, or one that this experiment has started.

    While the context lasts no other process can open the folder; the claim ends with the process, however it
    ends. What says to whom the folder belongs is the file geoattn_jax.json in it. An error before anything
    else was written takes a new claim back, so that a mended config can have the folder.

    Args:
      path: the folder; it and its parents are created if missing.
      config: the experiment's settings, anything that JSON can hold.
      update: from the folder, what its record was (None if it is new) and {"config": config} to what it is to
        be from now on; raises WorkdirError to refuse. It is called again if the process is killed before
        the record is written, and may delete what does not fit the new one.

    Yields: the folder's absolute path.
    Raises: WorkdirError if the folder holds something else, is damaged, is refused, is in use or cannot be
      written to; DiskFullError if there is no space left. It is then as it was.
    """
    folder = Path(path).absolute()
    config = json.loads(json.dumps(config))
    if folder.exists() and not folder.is_dir():
        raise WorkdirError(f"workdir {folder} is a file; give a folder")
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock(folder))
            is_new = _claim(folder, {"config": config}, update)
        except DiskFullError:
            raise
        except OSError as error:
            raise WorkdirError(
                f"workdir {folder} cannot be written to ({error}); give another folder"
            ) from error
        try:
            yield folder
        except Exception:
            if is_new and [entry.name for entry in folder.iterdir()] == [MARKER]:
                (folder / MARKER).unlink()
            raise


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The config that is in force in a folder.

    Raises: WorkdirError if it is not such a folder, or is damaged.
    """
    return _read_record(path)["config"]


def _read_record(path: str | os.PathLike) -> dict[str, Any]:
    marker = Path(path).absolute() / MARKER
    try:
        record = json.loads(marker.read_text())
        found = record.pop("format")
        record["config"] = dict(record["config"])
    except (FileNotFoundError, NotADirectoryError):
        raise WorkdirError(f"workdir {marker.parent} has no {MARKER}: no run was started in it") from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise WorkdirError(
            f"workdir {marker.parent} is damaged: {MARKER} cannot be read ({error}); use another folder"
        ) from error
    if found != FORMAT:
        raise WorkdirError(
            f"workdir {marker.parent} has format {found}, this version reads format {FORMAT}; "
            f"use another folder, or the version that wrote it"
        )
    return record


def _claim(folder: Path, now: Record, update: Callable[[Path, Record | None, Record], Record]) -> bool:
    """Whether the folder was nobody's before."""
    marker, before = folder / MARKER, None
    if marker.exists():
        before = _read_record(folder)
    else:
        _check_empty(folder)
    record = json.loads(json.dumps(update(folder, before, now)))
    if record != before:
        write_text(marker, json.dumps({"format": FORMAT, **record}, indent=2))
    return before is None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise WorkdirError(
            f"workdir {folder} is in use by another process; wait for it or use another"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _check_empty(folder: Path) -> None:
    # A process killed while it wrote the marker leaves the marker's temporary file and nothing else.
    found = sorted(entry.name for entry in folder.iterdir() if entry != temporary_of(folder / MARKER))
    if found:
        listed = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise WorkdirError(
            f"workdir {folder} is not empty and was not made by this program (it holds {listed}); "
            f"give a new or an empty folder"
        )


def _check_same_config(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    old, new = _flatten(before), _flatten(now)
    differences = [
        f"{key}: {_show(old, key)} then, {_show(new, key)} now"
        for key in sorted(old.keys() | new.keys())
        if _show(old, key) != _show(new, key)
    ]
    if differences:
        raise WorkdirError(
            f"workdir {folder} was started with another config ({'; '.join(differences)}); "
            f"use another folder, or the old config to resume"
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _show(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "absent"
