"""Compiles the kernels, for several sets of instructions, of which the best is chosen at run time.

It runs when the package is installed, see `hatch_build.py`, and imports nothing of it.
"""

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
LIBRARY = "libgeoattn_jax.so"
VARIABLE = "GEOATTN_JAX_NATIVE"

_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fopenmp-simd", "-fno-math-errno")
# No float operation is meant to trap, which would keep the compiler from computing both sides of a choice.
_KERNEL_FLAGS = ("-fno-trapping-math",)
# The instructions, and what the kernels for them are called in `columns.h`.
_INSTRUCTIONS = {
    "x86_64": {
        "x86-64": ("x86_64_kernels", "-march=x86-64"),
        "x86-64-v3": ("x86_64_v3_kernels", "-march=x86-64-v3"),
        "x86-64-v4": ("x86_64_v4_kernels", "-march=x86-64-v4", "-mprefer-vector-width=512"),
    }
}
_SECONDS = 600


class CannotCompileError(Exception):
    """Why there are no kernels."""


def compile_library(folder: Path) -> Path:
    """Compiles the library into a folder, in the place of what is there.

    Returns: its path.
    Raises: CannotCompileError if the variable GEOATTN_JAX_NATIVE is 0, there is no compiler, or it fails.
    """
    (folder / LIBRARY).unlink(missing_ok=True)  # of other sources
    if os.environ.get(VARIABLE) == "0":
        raise CannotCompileError(f"{VARIABLE} is 0")
    compiler, headers = _compiler(), _headers()
    machine = platform.machine()
    versions = _INSTRUCTIONS.get(machine, {machine: ("baseline_kernels",)})
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        objects = []
        for instructions, (kernels, *flags) in versions.items():
            names = (f"-DGEOATTN_KERNELS={kernels}", f'-DGEOATTN_INSTRUCTIONS="{instructions}"')
            objects.append(Path(temporary, f"{kernels}.o"))
            _run(
                *compiler,
                *_FLAGS,
                *_KERNEL_FLAGS,
                *flags,
                *names,
                "-c",
                SOURCES / "columns.cc",
                "-o",
                objects[-1],
            )
        objects.append(Path(temporary, "ffi.o"))
        sources = f'-DGEOATTN_SOURCES="{digest()}"'
        _run(*compiler, *_FLAGS, sources, "-isystem", headers, "-c", SOURCES / "ffi.cc", "-o", objects[-1])
        unfinished = Path(temporary, LIBRARY)
        _run(*compiler, "-shared", "-o", unfinished, *objects)
        unfinished.replace(folder / LIBRARY)  # at once, for it may be in use
    return folder / LIBRARY


def digest() -> str:
    """Of the sources, which tells whether a library was compiled from them."""
    files = sorted(path for path in SOURCES.iterdir() if path.suffix in (".cc", ".h"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _compiler() -> list[str]:
    """The C++ compiler with its options: that of the variable CXX, or the system's."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    candidates = [chosen] if chosen else [["c++"], ["g++"], ["clang++"]]
    for program, *options in candidates:
        if found := shutil.which(program):
            return [found, *options]
    missing = " or ".join(program for program, *_ in candidates)
    raise CannotCompileError(f"no C++ compiler: there is no {missing}")


def _headers() -> Path:
    """Those of XLA's foreign function interface."""
    spec = importlib.util.find_spec("jaxlib")
    if spec is None or not spec.submodule_search_locations:
        raise CannotCompileError("there is no jaxlib, whose headers are needed")
    return Path(spec.submodule_search_locations[0], "include")


def _run(*command: str | Path) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        raise CannotCompileError(f"{Path(command[0]).name} failed: {error.stderr.strip()[-2000:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompileError(str(error)) from error
