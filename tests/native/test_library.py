"""The library of native kernels: found, refused with a reason, chosen by the processor or by a variable."""

import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from geoattn_jax import offset_resample
from geoattn_jax.experiments.core.provenance import provenance
from geoattn_jax.native import by_jax_alone, kernels, library
from geoattn_jax.native.build import VARIABLE

needs_kernels = pytest.mark.skipif(kernels().instructions is None, reason=str(kernels()))


@pytest.fixture
def without_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_variable_turns_them_off(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    assert str(kernels()) == "no native kernels: GEOATTN_JAX_NATIVE is 0"


@needs_kernels
def test_by_jax_alone_lasts_as_long_as_its_block(without_variable):
    before = kernels()
    with by_jax_alone():
        assert kernels().instructions is None
    assert kernels() == before


@needs_kernels
def test_unknown_instructions_are_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "z80")
    message = (
        r"GEOATTN_JAX_NATIVE must be 0, 1 or, from the start .* got 'z80'; native kernels for .* are in use"
    )
    with pytest.raises(ValueError, match=message):
        offset_resample(jnp.ones((1, 3, 4, 1)), jnp.ones((1, 3, 4, 1, 2)))


def test_a_missing_library_is_a_reason(tmp_path):
    found = library.load(tmp_path / "missing.so")
    assert found.instructions is None
    assert "install a C++ compiler, and geoattn-jax anew" in found.because


def test_a_file_that_is_no_library_is_a_reason(tmp_path):
    broken = tmp_path / "broken.so"
    broken.write_text("of another machine")
    assert library.load(broken).because.startswith("broken.so cannot be loaded: ")


@needs_kernels
def test_one_for_a_later_jaxlib_is_never_registered(monkeypatch):
    """JAX would have no CPU left."""
    monkeypatch.setattr(library, "_api_version", lambda: (0, 0))
    monkeypatch.setattr(library.jax.ffi, "register_ffi_target", lambda *_, **__: pytest.fail("registered"))
    because = library.load.__wrapped__(library.FILE).because
    assert "upgrade jax, or install geoattn-jax with pip's --no-build-isolation" in because


@needs_kernels
def test_one_of_other_sources_is_a_reason(monkeypatch):
    monkeypatch.setattr(library, "digest", lambda: "others")
    assert library.load.__wrapped__(library.FILE).because.endswith(
        "is of other sources; install geoattn-jax anew"
    )


def test_results_say_which_kernels_computed_them():
    assert provenance(seed=0, wall_seconds=1.0)["kernels"] == str(kernels())


@needs_kernels
@pytest.mark.parametrize("instructions", ["x86-64", "x86-64-v3"])
def test_lesser_instructions_give_the_same(instructions):
    """In processes of their own: what is chosen stays. The other tests have the best."""
    environment = {**os.environ, VARIABLE: instructions}
    program = Path(__file__).parents[1] / "native_instructions.py"
    ran = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    if "must be 0, 1 or, from the start of the process" in ran.stderr:
        pytest.skip(f"this processor has no {instructions}")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"native kernels for {instructions}\n")
