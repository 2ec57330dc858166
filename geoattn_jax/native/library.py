"""The compiled kernels: whether there are any, and for which instructions."""

import ctypes
import os
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
        return (
            f"native kernels for {self.instructions}"
            if self.instructions
            else f"no native kernels: {self.because}"
        )


def kernels() -> Kernels:
    """The kernels that programs get which are traced now.

    Native ones are used if they were compiled, unless the variable GEOATTN_JAX_NATIVE is 0.
    """
    if os.environ.get(VARIABLE) == "0":
        return Kernels(None, f"{VARIABLE} is 0")
    return _loaded()


@cache
def _loaded() -> Kernels:
    if not FILE.exists():
        return Kernels(None, "none were compiled; install a C++ compiler and reinstall geoattn-jax")
    try:
        library = ctypes.CDLL(str(FILE))
        for target in (READ, TRANSPOSE):
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, target)), platform="cpu")
            jax.ffi.register_ffi_target_as_batch_partitionable(target)
    except (OSError, AttributeError, RuntimeError) as error:  # of another machine, version, or jaxlib
        return Kernels(None, f"{FILE.name} cannot be used: {error}")
    library.geoattn_jax_instructions.restype = ctypes.c_char_p
    return Kernels(library.geoattn_jax_instructions().decode())
