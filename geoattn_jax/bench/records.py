"""The JSON files under results/bench, one for each suite and kind of machine."""

import json
import os
from pathlib import Path
from typing import Any

from geoattn_jax.files import write_text

FOLDER = Path("results/bench")
FORMAT = 1


def default_path(suite: str, platform: str, *, tuned_allocator: bool) -> Path:
    """Where a full run of `suite` is kept, such as results/bench/kernels-cpu.json."""
    allocator = "" if tuned_allocator or platform != "cpu" else "-default-allocator"
    return FOLDER / f"{suite}-{platform}{allocator}.json"


def check_writable(path: Path | None) -> None:
    """Checks, before anything takes time, that a record can be kept in a file; makes its folder.

    Raises: ValueError if it cannot.
    """
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"--out cannot be written to: {path}; name another file")


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes `record` as JSON, replacing the file in one step."""
    write_text(path, json.dumps({"format": FORMAT, **record}, indent=1, allow_nan=False) + "\n")


def read_all(folder: Path) -> dict[str, dict[str, Any]]:
    """All records in `folder` by file name.

    Raises: ValueError if there is none, or one is damaged or of another format.
    """
    records = {path.name: _read(path) for path in sorted(folder.glob("*.json"))}
    if not records:
        raise ValueError(f"no JSON files in {folder}; run a suite first: python -m geoattn_jax.bench kernels")
    return records


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        found = record.get("format")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); run the suite again") from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found!r}, expected {FORMAT}; run the suite again")
    return record
