"""Experiments in small: few test images, one device, each program compiled once."""

import compilation
import jax
import pytest

from geoattn_jax.experiments.digits import pretraining
from geoattn_jax.training import devices, loop


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Where the experiments' programs are kept."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module", autouse=True)
def _small(compiled):
    with compilation.kept_in(compiled), pytest.MonkeyPatch.context() as patch:
        jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longer than running
        patch.setattr(pretraining, "TEST_FRAMES", pretraining.TEST_BATCH)
        for module in (devices, loop):
            patch.setattr(module, "devices_at_work", lambda: tuple(jax.devices()[:1]))
        yield
        jax.config.update("jax_disable_most_optimizations", False)
