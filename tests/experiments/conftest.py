"""Experiments in small: few test images, one device, each program compiled once."""

import compilation
import jax
import pytest

from geoattn_jax.experiments.core import fitting
from geoattn_jax.experiments.digits import pretraining


@pytest.fixture(scope="package", autouse=True)
def _small(tmp_path_factory):
    with compilation.kept_in(tmp_path_factory.mktemp("compiled")), pytest.MonkeyPatch.context() as patch:
        jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longer than running
        patch.setattr(pretraining, "TEST_FRAMES", pretraining.TEST_BATCH)
        patch.setattr(fitting, "devices_for", lambda batch_size: jax.local_devices()[:1])
        yield
        jax.config.update("jax_disable_most_optimizations", False)
