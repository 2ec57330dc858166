"""All devices of all processes as one row, along which examples are split."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from geoattn_jax.training.processes import devices_at_work
from geoattn_jax.training.read_ahead import ReadAhead

Rows = Int[np.ndarray, " r"]  # numbers of examples


class Devices:
    """A row of devices, perhaps of several processes.

    Arrays lie on it `whole`, a copy on every device, or `split`, their first axis in equal parts. What its
    methods take and give lies on this process's own devices or in NumPy.

    Args:
      devices: of all processes, the same in each.

    Attributes:
      whole: how arrays lie of which every device has a copy.
      split: how arrays lie whose first axis is split.
    """

    def __init__(self, devices: Sequence[jax.Device]):
        self._count = len(devices)
        self.whole, self.split = _shardings(devices)
        places = self.split.addressable_devices_indices_map((len(devices),))
        self._own_places = sorted(part.start or 0 for (part,) in filter(None, places.values()))
        self._own = [devices[place] for place in self._own_places]

    def __len__(self) -> int:
        return self._count

    def own_rows(self, rows: Rows) -> Rows:
        """Of the numbers of all examples, those of the examples that this process's devices get."""
        parts = np.split(rows, self._count)
        return np.concatenate([parts[place] for place in self._own_places])

    def place_whole(self, tree: Any) -> Any:
        """Gives every device arrays that all processes have; their memory may be the original's."""

        own_whole, _ = _shardings(self._own)

        def place(leaf: Any) -> jax.Array:
            own = jax.device_put(leaf, own_whole)
            return self._joined(own, own.shape, self.whole)

        return jax.tree.map(place, tree)

    def place_split(self, tree: Any) -> Any:
        """Gives every device its examples.

        Args:
          tree: arrays of `own_rows`' examples, in that order.
        """

        _, own_split = _shardings(self._own)

        def place(leaf: Any) -> jax.Array:
            own = jax.device_put(leaf, own_split)
            count = len(leaf) // len(self._own_places) * self._count
            return self._joined(own, (count, *leaf.shape[1:]), self.split)

        return jax.tree.map(place, tree)

    def single(self, tree: Any) -> Any:
        """Whole arrays as one of this process's devices has them; their memory is the same."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)

    def _joined(self, own: jax.Array, shape: tuple[int, ...], sharding: NamedSharding) -> jax.Array:
        parts = [shard.data for shard in own.addressable_shards]
        return jax.make_array_from_single_device_arrays(shape, sharding, parts)


def all_devices() -> Devices:
    """Those of all processes; of a process that does something by itself, its own."""
    return _row(devices_at_work())


@cache
def _row(devices: tuple[jax.Device, ...]) -> Devices:
    return Devices(devices)


def fetch(tree: Any) -> Any:
    """Arrays on any devices in NumPy; where they lie on several processes' all must call it."""

    def whole(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_addressable:
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)


def on_all_devices(
    compute: Callable[[Any, Any], Any],
    shared: Any,
    read: Callable[[Rows], Any],
    *,
    count: int,
    batch_size: int,
    reads_ahead: int = 0,
) -> Iterator[Any]:
    """Computes something of many examples on the devices of all processes, which all must call it.

    Args:
      compute: (shared, examples) -> arrays whose first axis is the examples', compiled.
      shared: what all examples need, such as a network's variables; all processes have it.
      read: from numbers, of which some may come twice, to those examples; called for this process's share.
      count: how many examples there are, at least one.
      batch_size: how many a device gets at a time at most; results do not depend on it but for rounding.
      reads_ahead: how many times what the devices get at a time is read by threads while they compute.

    Yields: in every process, in NumPy, the results of the first examples, of the next and so on.
    """
    devices = all_devices()
    times = -(-count // (len(devices) * batch_size))  # how often all devices compute
    size = len(devices) * -(-count // (len(devices) * times))
    shared = devices.place_whole(shared)

    def place(start: int) -> Any:
        # The last ones are filled up with the last example.
        rows = np.minimum(np.arange(start, start + size), count - 1)
        return devices.place_split(read(devices.own_rows(rows)))

    starts = range(0, count, size)
    with ReadAhead(place, starts, ahead=reads_ahead) as examples:
        for start, some in zip(starts, examples, strict=True):
            results = fetch(compute(shared, some))
            yield jax.tree.map(lambda leaf, left=count - start: leaf[:left], results)


def _shardings(devices: Sequence[jax.Device]) -> tuple[NamedSharding, NamedSharding]:
    """Whole and split."""
    mesh = Mesh(np.array(devices), ("batch",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("batch"))
