"""Digits and videos for the tests in this folder."""

import os
from pathlib import Path

import jax
import pytest

from geoattn_jax.data.digits import digit_pool, load_digits

FRAME = 18  # pixels


@pytest.fixture
def lightly_compiled():
    """For tests of what is drawn, not of its last bit: compiling takes less than half as long."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def pool():
    return digit_pool(load_digits("sklearn", "train"), frame_size=FRAME)


@pytest.fixture(scope="session")
def unseen_pool():
    return digit_pool(load_digits("sklearn", "test"), frame_size=FRAME)


@pytest.fixture(scope="session")
def mnist_folder():
    return shared_data("mnist")


@pytest.fixture(scope="session")
def videos_folder():
    return shared_data("videos")


def shared_data(name):
    shared = Path(os.environ.get("GEOATTN_SHARED", Path(__file__).parents[3] / "shared"))
    if not (shared / "data" / name).is_dir():
        pytest.skip(f"no {name} under {shared / 'data'}; set GEOATTN_SHARED")
    return shared / "data" / name
