"""These tests train the same few programs again and again."""

import compilation
import pytest


@pytest.fixture(scope="session")
def compiled_programs(tmp_path_factory):
    """Where the compiled programs are kept."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="package", autouse=True)
def _compiled_once(compiled_programs):
    with compilation.kept_in(compiled_programs):
        yield
