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

from geoattn_jax.native.build import LIBRARY, VARIABLE

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
    processor has. The variable GEOATTN_JAX_NATIVE changes that: 0 is none, x86-64-v3 those instructions.

    Raises: ValueError if there are no kernels for the instructions in the variable, or the processor has not
      got them.
    """
    wanted = os.environ.get(VARIABLE, "1")
    if wanted == "0":
        return Kernels(None, f"{VARIABLE} is 0")
    return load(FILE, "" if wanted == "1" else wanted)


@contextmanager
def by_jax_alone() -> Iterator[None]:
    """What is traced meanwhile gets no native kernels, to compare it with what does."""
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
def load(file: Path, wanted: str = "") -> Kernels:
    """Makes the kernels of a library known to XLA, those for the wanted instructions or for the best."""
    if not file.exists():
        return Kernels(None, "none were compiled; install a C++ compiler, and geoattn-jax anew")
    try:
        library = ctypes.CDLL(str(file))
        compiled_for = library.geoattn_jax_api_major(), library.geoattn_jax_api_minor()
        targets = {target: getattr(library, target) for target in (READ, TRANSPOSE)}
        choose = library.geoattn_jax_choose
    except (OSError, AttributeError) as error:
        return Kernels(None, f"{file.name} cannot be loaded: {error}")
    # To register kernels for a later version of the interface would leave JAX without a CPU.
    here = _api_version()
    if compiled_for[0] != here[0] or compiled_for > here:
        return Kernels(
            None,
            f"{file.name} is for XLA's foreign function interface {compiled_for}, this jaxlib has {here}; "
            f"upgrade jax, or install geoattn-jax with pip's --no-build-isolation",
        )
    choose.restype = ctypes.c_char_p
    instructions = choose(wanted.encode() or None)
    if instructions is None:
        raise ValueError(
            f"{VARIABLE} must be 0, 1 or instructions of this processor for which there are kernels, such as "
            f"x86-64-v3, got {wanted!r}; with 1, or without the variable, the best are chosen"
        )
    for target, function in targets.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(function), platform="cpu")
        jax.ffi.register_ffi_target_as_batch_partitionable(target)
    return Kernels(instructions.decode())


def _api_version() -> tuple[int, int]:
    """Of XLA's foreign function interface, as this jaxlib's headers have it."""
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text()
    version = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header))
    return int(version["MAJOR"]), int(version["MINOR"])
