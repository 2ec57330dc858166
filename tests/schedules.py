"""Operations traced for a CPU alone: most tests need no other platform's schedule."""

import contextlib
from types import SimpleNamespace

import pytest


@contextlib.contextmanager
def of_cpus():
    """Lets operations be traced with the CPU's schedule alone, which is the one that is lowered on it.

    Else each is traced for three platforms, which takes longer than to compile and run it.
    """

    from geoattn_jax.ops import platforms  # not before conftest.py has turned on the runtime checks

    def platform_dependent(*operands, cpu, **_):
        return cpu(*operands)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platforms, "lax", SimpleNamespace(platform_dependent=platform_dependent))
        yield
