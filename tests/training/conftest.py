"""These tests train the same few programs again and again: each is compiled once for all of them."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@pytest.fixture(scope="session")
def compiled_programs(tmp_path_factory):
    """Where the compiled programs are kept."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="package", autouse=True)
def _shared_compilation_cache(compiled_programs):
    settings = {"jax_compilation_cache_dir": str(compiled_programs), **SETTINGS}
    before = {name: getattr(jax.config, name) for name in settings}
    _configure(settings)
    yield
    _configure(before)


def _configure(settings):
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX looks at its folder only once
