"""Rows that are written in any order and read in theirs."""

import numpy as np
import pytest
from full_disk import no_space_beyond

from geoattn_jax.files import DiskFullError
from geoattn_jax.training import scattered_rows

ROWS = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)


def portions(*orders):
    return ((np.array(numbers), ROWS[numbers]) for numbers in orders)


@pytest.mark.parametrize("at_once", [1, 48, 2**26])
def test_rows_are_read_in_order(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("geoattn_jax.training.scattered.BYTES_AT_ONCE", at_once)
    written = portions([7, 2], [10, 9, 8, 0], [5, 1, 3], [4], [6])
    with scattered_rows(tmp_path / "deep" / "rows", 11, written) as rows:
        for _ in range(2):
            parts = list(rows)
            np.testing.assert_array_equal(np.concatenate(parts), ROWS)
            assert max(map(len, parts)) == min(11, max(1, at_once // 12))
        for one, other in zip(rows, rows, strict=True):  # at the same time
            np.testing.assert_array_equal(one, other)
        assert not list((tmp_path / "deep").iterdir())


def test_missing_rows_are_no_zeros(tmp_path):
    with (
        pytest.raises(ValueError, match="portions must hold 11 rows, got 3"),
        scattered_rows(tmp_path / "rows", 11, portions([2, 1], [7])),
    ):
        pass


def test_a_full_disk_is_named(tmp_path):
    with (
        pytest.raises(DiskFullError, match="rows: there is no space left"),
        no_space_beyond(20),
        scattered_rows(tmp_path / "rows", 11, portions(list(range(11)))),
    ):
        pass
