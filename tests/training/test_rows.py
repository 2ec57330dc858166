"""Arrays that are written and read some rows at a time."""

import contextlib

import numpy as np
import pytest
from full_disk import no_space_beyond

from geoattn_jax.files import DiskFullError
from geoattn_jax.training import WorkdirError, cached_arrays, read_array, rows, stored_rows

FEATURES = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
LENGTHS = np.array([4, 1, 6])


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch):
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 4)


def portions(size=3):
    yield {"lengths": LENGTHS}
    for start in range(0, len(FEATURES), size):
        part = FEATURES[start : start + size]
        yield {"one": part, "double": 2 * part}


def assert_complete(stored):
    for _ in range(2):
        assert [len(part) for part in stored["one"]] == [4, 4, 3]
    for name, array in {"one": FEATURES, "double": 2 * FEATURES, "lengths": LENGTHS}.items():
        found = stored[name].whole()
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("size", [1, 3, 4, 9, 11])
def test_rows_come_back_whatever_the_portions(tmp_path, size):
    path = tmp_path / "deep" / "features.npz"
    with stored_rows(path, lambda: portions(size)) as stored:
        assert_complete(stored)
    with stored_rows(path, lambda: pytest.fail("it is there")) as stored:
        assert_complete(stored)
        for one, double in zip(stored["one"], stored["double"], strict=True):  # at the same time
            np.testing.assert_array_equal(2 * one, double)
    assert [entry.name for entry in path.parent.iterdir()] == ["features.npz"]
    assert read_array(path, "seconds") >= 0


def test_files_of_whole_arrays_are_read(tmp_path):
    path = tmp_path / "features.npz"
    cached_arrays(path, lambda: {"one": FEATURES, "double": 2 * FEATURES, "lengths": LENGTHS})
    with stored_rows(path, lambda: pytest.fail("it is there")) as stored:
        assert_complete(stored)


def test_what_is_not_kept_is_computed_anew_and_leaves_no_file(tmp_path):
    path = tmp_path / "features.npz"
    with stored_rows(path, portions, keeps=False) as stored:
        assert_complete(stored)
        assert list(tmp_path.iterdir()) == []
    cached_arrays(path, lambda: {"one": FEATURES + 1})
    with stored_rows(path, portions, keeps=False) as stored:
        assert_complete(stored)
    with stored_rows(path, portions) as stored:
        np.testing.assert_array_equal(stored["one"].whole(), FEATURES + 1)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("portions_before", [0, 1, 3])
def test_a_stage_that_fails_leaves_nothing(tmp_path, keeps, portions_before):
    def compute():
        yield from list(portions())[:portions_before]
        raise InterruptedError

    with pytest.raises(InterruptedError), stored_rows(tmp_path / "features.npz", compute, keeps=keeps):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keeps", [True, False])
def test_a_full_disk_leaves_nothing(tmp_path, keeps):
    path = tmp_path / "features.npz"
    for size in (0, 150, 500, 900):
        opened = stored_rows(path, portions, keeps=keeps)
        with no_space_beyond(size), pytest.raises(DiskFullError, match=r"features\.npz: there is no"), opened:
            pass
        assert list(tmp_path.iterdir()) == []
    with stored_rows(path, portions, keeps=keeps) as stored:
        assert_complete(stored)


@pytest.mark.parametrize("where", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_stage_is_refused_or_read_to_the_bit(tmp_path, where, whole):
    path = tmp_path / "features.npz"
    if whole:
        cached_arrays(path, lambda: {"one": FEATURES})
    else:
        with stored_rows(path, lambda: [{"one": FEATURES}]):
            pass
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(bytes(content))
    with contextlib.suppress(WorkdirError), stored_rows(path, dict) as stored:
        np.testing.assert_array_equal(stored["one"].whole(), FEATURES)
    path.write_bytes(bytes(content[: len(content) // 2]))
    with pytest.raises(WorkdirError, match=r"is damaged .*delete it to compute"), stored_rows(path, dict):
        pass


def test_an_array_that_is_not_there_is_named(tmp_path):
    with stored_rows(tmp_path / "features.npz", portions) as stored:
        with pytest.raises(WorkdirError, match=r"features\.npz is damaged .*no array 'other'"):
            stored["other"].whole()
        with pytest.raises(WorkdirError, match="no array 'on'"):
            stored["on"].whole()
