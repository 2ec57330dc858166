"""The examples in docstrings run, and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import geoattn_jax
from geoattn_jax import layers, models, ops


def examples():
    """Every docstring with an example, of the public names first."""
    packages = (ops, layers, models)
    modules = [
        importlib.import_module(module.name)
        for package in packages
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    finder = doctest.DocTestFinder()
    return {test.name: test for module in modules for test in finder.find(module) if test.examples}


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    runner = doctest.DocTestRunner(verbose=False)
    report = []
    assert runner.run(EXAMPLES[name], out=report.append).failed == 0, "".join(report)


@pytest.mark.parametrize("name", geoattn_jax.__all__)
def test_every_public_name_has_an_example(name):
    assert any(found.split(".")[-1] == name for found in EXAMPLES)
