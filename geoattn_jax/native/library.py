"""The compiled kernels: whether there are any, and for which instructions."""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax

from geoattn_jax.native.build import LIBRARY, VARIABLE, digest

FILE = Path(__file__).with_name(LIBRARY)
READ, TRANSPOSE = "geoattn_jax_read", "geoattn_jax_transpose"


class Kernels(NamedTuple):
    """What computes on a CPU.

    Attributes:
      instructions: of the processor for which the native kernels in use were compiled; None without any.
      because: why there are none.
    """

    instructions: str | None
    because: str = ""

    def __str__(self) -> str:
        if self.instructions is None:
            return f"no native kernels: {self.because}"
        return f"native kernels for {self.instructions}"


def kernels() -> Kernels:
    """The kernels for CPUs in programs that are traced now.

    Native ones, if they were compiled when the package was installed, for the best instructions that the
    processor has. The variable GEOATTN_JAX_NATIVE changes that: with 0 there are none; before the first of
    them is traced it may name the instructions, such as x86-64-v3, for the whole process.

    Raises: ValueError if the variable names instructions that the compiled kernels or the processor have not
      got, or others than are in use already.
    """
    wanted = os.environ.get(VARIABLE, "1")
    if wanted == "0":
        return Kernels(None, f"{VARIABLE} is 0")
    found = load(FILE)
    if found.instructions is not None and wanted not in ("1", found.instructions):
        raise ValueError(
            f"{VARIABLE} must be 0, 1 or, from the start of the process, instructions of this processor for "
            f"which there are kernels, such as x86-64-v3, got {wanted!r}; {found} are in use"
        )
    return found


@contextmanager
def by_jax_alone() -> Iterator[None]:
    """What is traced meanwhile, in any thread, gets no native kernels, to compare it with what does."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@cache
def load(file: Path) -> Kernels:
    """Makes the kernels of a library known to XLA."""
    if not file.exists():
        return Kernels(None, "none were compiled; install a C++ compiler, and geoattn-jax anew")
    try:
        library = ctypes.CDLL(str(file))
        for function in (library.geoattn_jax_choose, library.geoattn_jax_sources):
            function.restype = ctypes.c_char_p
        sources = library.geoattn_jax_sources().decode()
        compiled_for = library.geoattn_jax_api_major(), library.geoattn_jax_api_minor()
        targets = {target: getattr(library, target) for target in (READ, TRANSPOSE)}
        here = _api_version()
    except (OSError, AttributeError, KeyError) as error:
        return Kernels(None, f"{file.name} cannot be loaded: {error}")
    if sources != digest():
        return Kernels(None, f"{file.name} is of other sources; install geoattn-jax anew")
    # To register kernels for a later version of the interface would leave JAX without a CPU.
    if compiled_for[0] != here[0] or compiled_for > here:
        return Kernels(
            None,
            f"{file.name} is for XLA's foreign function interface {compiled_for}, this jaxlib has {here}; "
            f"upgrade jax, or install geoattn-jax with pip's --no-build-isolation",
        )
    wanted = os.environ.get(VARIABLE, "1")
    named = library.geoattn_jax_choose(wanted.encode())  # none if there are no such instructions
    instructions = named or library.geoattn_jax_choose(None)
    for target, function in targets.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(function), platform="cpu")
        jax.ffi.register_ffi_target_as_batch_partitionable(target)
    return Kernels(instructions.decode())


def _api_version() -> tuple[int, int]:
    """Of XLA's foreign function interface, as this jaxlib's headers have it."""
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text()
    version = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header))
    return int(version["MAJOR"]), int(version["MINOR"])
