"""What is computed on all devices is what one computes, whatever the counts."""

import jax
import numpy as np
import pytest

from geoattn_jax.training.devices import Devices, fetch, on_all_devices

FACTOR = np.float32(3)


@jax.jit
def multiply(factor, examples):
    return {"product": factor * examples["x"], "label": examples["label"]}


def read(rows):
    return {"x": np.stack([rows, rows**2], axis=1).astype(np.float32), "label": rows.astype(np.int32)}


@pytest.mark.parametrize(("count", "batch_size"), [(1, 5), (8, 1), (11, 2), (19, 60), (33, 3)])
@pytest.mark.parametrize("reads_ahead", [0, 2])
def test_every_example_comes_once_and_in_order(count, batch_size, reads_ahead):
    sizes = set()

    def compute(factor, examples):
        sizes.update(shard.data.shape[0] for shard in examples["x"].addressable_shards)
        assert len(examples["x"].sharding.device_set) == 8
        return multiply(factor, examples)

    settings = {"count": count, "batch_size": batch_size, "reads_ahead": reads_ahead}
    parts = list(on_all_devices(compute, FACTOR, read, **settings))
    counts = [len(part["label"]) for part in parts]
    assert sum(counts) == count
    assert len(sizes) == 1  # one program
    assert sizes.pop() <= batch_size
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    expected = read(np.arange(count))
    np.testing.assert_array_equal(found["label"], expected["label"])
    np.testing.assert_array_equal(found["product"], 3 * expected["x"])


def test_rows_are_those_of_ones_own_devices():
    some = Devices(jax.devices()[2:5])
    assert len(some) == 3
    np.testing.assert_array_equal(some.own_rows(np.arange(6)), np.arange(6))
    placed = some.place_split({"x": np.arange(6.0, dtype=np.float32)})["x"]
    assert [shard.device for shard in placed.addressable_shards] == jax.devices()[2:5]
    np.testing.assert_array_equal(fetch(placed), np.arange(6))
    whole = some.place_whole(np.ones(2, np.float32))
    np.testing.assert_array_equal(some.single(whole), np.ones(2))
    assert some.single(whole).devices() == {jax.devices()[2]}
