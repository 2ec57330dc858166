"""For tests of what is made of the operations: these are traced for a CPU, not for every platform."""

import contextlib
import importlib
import pkgutil

import pytest

from geoattn_jax import ops
from geoattn_jax.ops import platforms

_MODULES = [
    importlib.import_module(f"{ops.__name__}.{one.name}") for one in pkgutil.iter_modules(ops.__path__)
]


@contextlib.contextmanager
def of_cpus():
    """Lets operations be traced with the CPU's schedule alone, which is the one that is lowered on it.

    Else each is traced for three platforms, nested ones for nine times as many, which takes longer than to
    compile and run them.
    """

    def by_platform(function, *operands):
        return function(platforms.CPU, *operands)

    with pytest.MonkeyPatch.context() as patch:
        for module in _MODULES:
            if hasattr(module, "by_platform"):
                patch.setattr(module, "by_platform", by_platform)
        yield
