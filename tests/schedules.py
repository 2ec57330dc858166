"""For tests of what is made of the operations: these are traced for a CPU, not for every platform."""

import contextlib

import pytest

from geoattn_jax.ops import cells, crop, deform_conv, platforms, separable


@contextlib.contextmanager
def of_cpus():
    """Lets operations be traced with the CPU's schedule alone, which is the one that is lowered on it.

    Else each is traced for three platforms, nested ones for nine times as many, which takes longer than to
    compile and run them.
    """

    def by_platform(function, *operands):
        return function(platforms.CPU, *operands)

    with pytest.MonkeyPatch.context() as patch:
        for module in (cells, crop, deform_conv, separable):
            patch.setattr(module, "by_platform", by_platform)
        yield
