"""What the data of an experiment were: enough to notice, and to name, what changed since.

A record is `{split: {item: {"digest": ..., ...}}}`: an item is a video file, or all digits. Generated data
have no items: the config tells them apart. Where items lie is no part of a record, so that they can be moved.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

DataRecord = Mapping[str, Mapping[str, Mapping[str, Any]]]

BYTES_AT_ONCE = 1 << 20
NAMED = 3  # items in a message


def array_digest(*arrays: np.ndarray) -> str:
    """SHA-256 of some arrays' dtypes, shapes and bits."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return total.hexdigest()


def file_item(path: Path, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """What identifies a file's content.

    Args:
      path: the file.
      known: what was recorded of it earlier. A file of the same size that was not written to since is not
        read again.
    """
    state = path.stat()
    item = {"bytes": state.st_size, "modified": state.st_mtime_ns}
    if known is not None and {name: known.get(name) for name in item} == item:
        return item | {"digest": known["digest"]}
    total = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(BYTES_AT_ONCE):
            total.update(part)
    return item | {"digest": total.hexdigest()}


def split_digest(items: Mapping[str, Mapping[str, Any]]) -> str:
    """Of all items of a split, whenever they were written."""
    return hashlib.sha256(json.dumps(_contents(items), sort_keys=True).encode()).hexdigest()


def differences(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> str:
    """What was added, removed or changed, in words; "" if nothing was."""
    old, new = _contents(before), _contents(now)
    kinds = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
    }
    return "; ".join(f"{kind} {some(names)}" for kind, names in kinds.items() if names)


def some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _contents(items: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in item.items() if key != "modified"} for name, item in items.items()
    }
