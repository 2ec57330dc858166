"""Stages that are kept, and compiled programs that are kept."""

import jax
import numpy as np
import pytest
from full_disk import no_space_beyond

from geoattn_jax.files import DiskFullError
from geoattn_jax.training import WorkdirError, cached_arrays, read_array, use_compilation_cache

ARRAYS = {"features": np.arange(6, dtype=np.float32).reshape(2, 3), "labels": np.int32([4, 5])}


def test_a_stage_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return ARRAYS

    path = tmp_path / "deep" / "features.npz"
    for found in (cached_arrays(path, compute), cached_arrays(path, compute)):
        assert found.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
    assert len(calls) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["features.npz"]


def test_a_stage_that_fails_leaves_nothing(tmp_path):
    def compute():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        cached_arrays(tmp_path / "features.npz", compute)
    assert list(tmp_path.iterdir()) == []


def test_objects_are_not_kept(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        cached_arrays(tmp_path / "features.npz", lambda: {"a": np.array([None])})
    assert not (tmp_path / "features.npz").exists()


@pytest.mark.parametrize("where", [0.0, 0.2, 0.5, 0.7])
def test_a_damaged_stage_is_refused_or_read_to_the_bit(tmp_path, where):
    path = tmp_path / "features.npz"
    cached_arrays(path, lambda: {"a": np.arange(100.0)})
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(WorkdirError, match=r"features\.npz is damaged.*delete it to compute it again"):
        cached_arrays(path, dict)
    path.write_bytes(bytes(content[:150]))
    with pytest.raises(WorkdirError, match="is damaged"):
        cached_arrays(path, dict)


def test_one_array_is_read_alone(tmp_path):
    path = tmp_path / "features.npz"
    cached_arrays(path, lambda: {"large": np.arange(1000.0), "seconds": np.array(2.5)})
    content = bytearray(path.read_bytes())
    content[4000] ^= 1  # in the large one
    path.write_bytes(bytes(content))
    assert read_array(path, "seconds") == 2.5
    with pytest.raises(WorkdirError, match="is damaged"):
        read_array(path, "large")
    with pytest.raises(WorkdirError, match=r"features\.npz is damaged .*minutes"):
        read_array(path, "minutes")


def test_a_full_disk_leaves_no_stage(tmp_path):
    path = tmp_path / "features.npz"
    arrays = {"features": np.zeros((50, 10))}
    with no_space_beyond(1000), pytest.raises(DiskFullError, match=r"features\.npz: there is no space left"):
        cached_arrays(path, lambda: arrays)
    assert list(tmp_path.iterdir()) == []
    assert cached_arrays(path, lambda: arrays)["features"].shape == (50, 10)


@pytest.mark.parametrize(
    ("cache_home", "chosen", "expected"),
    [
        (None, None, "HOME/.cache/geoattn_jax/xla"),
        ("/caches", None, "/caches/geoattn_jax/xla"),
        ("/caches", "/chosen", "/chosen"),
    ],
)
def test_the_compilation_cache_lies_where_the_user_wants_it(
    tmp_path, monkeypatch, cache_home, chosen, expected
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache_home:
        monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", chosen)
        use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == expected.replace("HOME", str(tmp_path))
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
