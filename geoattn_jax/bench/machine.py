"""What a figure was taken on: cores, processor, versions, settings."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from geoattn_jax import runtime
from geoattn_jax.native import kernels

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "torchvision")


def pin_to_cores(count: int) -> None:
    """Keeps this process, and what it starts, on the last `count` of the cores that it may use.

    Call it before JAX or torch start their threads: both then start as many as there are cores.

    Raises: ValueError if it may use fewer.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(allowed):
        raise ValueError(
            f"--cores must be between 1 and {len(allowed)}, the cores this process may use, got {count}"
        )
    os.sched_setaffinity(0, allowed[-count:])


def describe() -> dict[str, Any]:
    """The machine, versions and settings as they are in this process."""
    device = jax.devices()[0]
    return {
        "device": _processor() if device.platform == "cpu" else device.device_kind,
        "platform": device.platform,
        "processor": _processor(),
        "cores": sorted(os.sched_getaffinity(0)),
        "cores_of_machine": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "kernels": str(kernels()),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "settings": {
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
            "allocator": " ".join(
                f"{name}={value}" for name, value in runtime.allocator_settings(os.environ).items()
            )
            or "system default",
            "transparent_hugepage": _transparent_hugepage(),
        },
    }


def copy_bandwidth(mib: int = 256) -> float:
    """Bytes per second, read and written, of copying an array much larger than the caches."""
    source = jnp.ones((mib, 2**18), jnp.float32)
    copy = jax.jit(lambda array: -array)
    # To an accelerator, handing over a copy would take as long as the copy.
    at_once = 1 if jax.default_backend() == "cpu" else 16
    seconds = []
    for _ in range(8):  # the first compiles
        start = time.perf_counter()
        for _ in range(at_once):
            copied = copy(source)
        jax.block_until_ready(copied)
        seconds.append((time.perf_counter() - start) / at_once)
    return 2 * source.nbytes / min(seconds)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    installed = {}
    for package in packages:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _transparent_hugepage() -> str:
    """The kernel's choice, such as "madvise"; without it glibc's huge pages have no effect."""
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return path.read_text().partition("[")[2].partition("]")[0] if path.exists() else "unknown"
