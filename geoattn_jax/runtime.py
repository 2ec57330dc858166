"""The process settings that JAX needs on a CPU, in the only place that knows them.

Two defaults cost a CPU run half of its speed or more (jaxlib 0.10.2, glibc 2.36):

- **XLA hands convolutions to YNNPACK**, whose weight gradient is very slow (a 5x5 convolution 20 -> 50 on
  32x32, batch 32: 187 ms against 42 ms). A flag limits YNNPACK to matrix products. XLA aborts the process
  over a flag that it does not know, so a short child process tries it first.
- **glibc gives large buffers back to the system after every call**, and the page faults of getting them
  again cost as much as the kernel itself. Thresholds that are never reached keep the memory; one arena for
  all threads is needed as well, because XLA allocates in its worker threads, whose own arenas end at
  64 MiB; huge pages make the remaining faults rare. The price: memory once used stays with the process.

Both are read when the process starts, so `tune_cpu` sets them and executes the program again. What the user
has set stays as it is, and on an accelerator nothing happens.
"""

import importlib.metadata
import importlib.util
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

XLA_FLAG = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
NEVER = 1 << 40  # bytes; a threshold above every buffer
GLIBC_TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in (
        ("mmap_threshold", NEVER),
        ("trim_threshold", NEVER),
        ("arena_max", 1),
        ("hugetlb", 1),
    )
)
_TUNED = "GEOATTN_JAX_TUNED"  # set in the program that is executed again, so that it happens once

_log = logging.getLogger(__name__)


def tune_cpu(*, allocator: bool = True) -> None:
    """Gives this process the settings above; call it first in a program's `main`, before JAX computes.

    Where the C library's settings are missing the program starts over, with the same arguments and the same
    process id. Does nothing where JAX will use an accelerator: where JAX_PLATFORMS names one or, without
    that variable, where one is found with the package that drives it (set JAX_PLATFORMS=cpu to run on the CPU
    there).

    Args:
      allocator: whether to set the C library's allocator as well as XLA's flag.
    """
    if not uses_cpu(os.environ):
        return
    if _TUNED not in os.environ:
        additions = settings(
            os.environ, allocator=allocator and platform.libc_ver()[0] == "glibc", xla_accepts=xla_accepts
        )
        os.environ.update(additions, **{_TUNED: "1"})
        if "GLIBC_TUNABLES" in additions:
            sys.stdout.flush()
            sys.stderr.flush()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    _log.debug("CPU settings: %s", describe(os.environ))


def uses_cpu(environment: Mapping[str, str], *, root: Path = Path("/")) -> bool:
    """Whether JAX will compute on the CPU, judged without starting it.

    A package that drives an accelerator is no accelerator: libtpu and the CUDA plugin are also installed to
    compile for devices that are elsewhere. As JAX does, this looks for the device itself.

    Args:
      environment: the process's variables.
      root: of the file system whose device files are looked at.
    """
    platforms = environment.get("JAX_PLATFORMS")
    if platforms:
        return platforms.split(",")[0] == "cpu"
    if importlib.util.find_spec("libtpu") and ("JAX_FORCE_TPU_INIT" in environment or _has_tpu(root)):
        return False
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return all("cuda" in plugin.name and not _has_nvidia_gpu(root) for plugin in plugins)


def _has_tpu(root: Path) -> bool:
    """Whether there are a TPU's device files, or a PCI device of Google's that is no disk or network card."""
    if any(root.glob("dev/accel[0-9]*")) or any(root.glob("dev/vfio/[0-9]*")):
        return True
    return any(
        (device / "vendor").read_text().strip() == "0x1ae0"
        and not (device / "class").read_text().startswith(("0x01", "0x02"))
        for device in root.glob("sys/bus/pci/devices/*")
    )


def _has_nvidia_gpu(root: Path) -> bool:
    """Whether there are an NVIDIA GPU's device files: the driver's, a container's, or WSL's."""
    return any((root / "dev" / name).exists() for name in ("nvidia0", "nvidiactl", "dxg"))


def settings(
    environment: Mapping[str, str], *, allocator: bool, xla_accepts: Callable[[str], bool]
) -> dict[str, str]:
    """The environment variables to change, given those that the user has set.

    Args:
      environment: the variables as they are.
      allocator: whether to set up glibc's allocator.
      xla_accepts: whether this jaxlib knows an XLA flag.
    """
    additions = {}
    flags = environment.get("XLA_FLAGS", "")
    if XLA_FLAG.partition("=")[0] not in flags and xla_accepts(XLA_FLAG):
        additions["XLA_FLAGS"] = f"{flags} {XLA_FLAG}".strip()
    if allocator and not allocator_settings(environment):
        additions["GLIBC_TUNABLES"] = GLIBC_TUNABLES
    return additions


def allocator_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables in `environment` that change the C library's allocator or replace it."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("MALLOC_")
        or (name == "GLIBC_TUNABLES" and "glibc.malloc." in value)
        or (name == "LD_PRELOAD" and "malloc" in value)
    }


def xla_accepts(flag: str) -> bool:
    """Whether the installed jaxlib starts with this flag, tried in a child process (half a second)."""
    trial = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices('cpu')"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag},
        capture_output=True,
        check=False,
    )
    return trial.returncode == 0


def describe(environment: Mapping[str, str]) -> str:
    """XLA's flags and the allocator's settings on one line, for the log and for `results.json`."""
    variables = {"XLA_FLAGS": environment.get("XLA_FLAGS", ""), **allocator_settings(environment)}
    return " ".join(f"{name}={value!r}" for name, value in variables.items())
