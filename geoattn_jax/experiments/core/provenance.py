"""Where a result comes from: the program, the packages and the machine behind it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from geoattn_jax.native import kernels
from geoattn_jax.runtime import describe

PACKAGES = ("geoattn-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


def provenance(*, seed: int, wall_seconds: float) -> dict[str, Any]:
    """What `results.json` records about its origin.

    Args:
      seed: of the run.
      wall_seconds: what the run took.

    Returns: {"commit", "packages", "device", "kernels", "settings", "seed", "wall_seconds"}; see `commit`,
      `native.kernels` and `runtime.describe`.
    """
    return {
        "commit": commit(),
        "packages": {"python": platform.python_version(), **_versions()},
        "device": _device(),
        "kernels": str(kernels()),
        "settings": describe(os.environ),
        "seed": seed,
        "wall_seconds": round(wall_seconds, 1),
    }


def commit() -> str | None:
    """The checked-out commit of this package, with "-dirty" where tracked files differ from it.

    Returns: None where the package is not in a git checkout.
    """
    folder = Path(__file__).parent
    # An installed copy may lie inside somebody else's checkout, so the file itself must be tracked.
    if _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    head = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if changed else head


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _device() -> str:
    """What computed, of all processes."""
    devices, processes = jax.devices(), jax.process_count()
    kind = devices[0].device_kind
    if devices[0].platform == "cpu":
        cores = _cores()
        kind = f"{platform.machine()} CPU, {cores} core{'s' * (cores > 1)}"
    kind = f"{len(devices)} x {kind}" if len(devices) > 1 else kind
    return f"{kind}, in {processes} processes" if processes > 1 else kind


def _cores() -> int:
    # Where the system can tell, the cores this process may use, not those of the machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
