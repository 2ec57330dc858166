"""Eight virtual CPU devices, strict dtype promotion, runtime shape checks on the whole package."""

import contextlib
import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import compilation
import jax
import jaxtyping
import pytest
import schedules

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
# JAX makes many small objects while it traces: by default a tenth of the time goes into looking for cycles in
# what is alive anyway.
gc.set_threshold(50_000, 10, 10)
jaxtyping.install_import_hook("geoattn_jax", "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def let_compiled_programs_go():
    """After each module: kept to the end they take gigabytes in every worker."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True, scope="module")
def _schedules(request):
    """A module that is about the other platforms' says so by EVERY_PLATFORM = True."""
    every = getattr(request.module, "EVERY_PLATFORM", False)
    with contextlib.nullcontext() if every else schedules.of_cpus():
        yield


@pytest.fixture
def x64():
    """Turns on float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compiled_quickly():
    """For tests in which compiling takes longer than running: XLA optimizes little."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def _programs(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.fixture
def compiled_once(_programs):
    """For operations that run one by one inside of shard_map: JAX compiles each wherever it meets it."""
    with compilation.kept_in(_programs):
        yield


@pytest.fixture
def unchecked():
    """Turns jaxtyping's checks off, so that a test sees the error that a user would see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
