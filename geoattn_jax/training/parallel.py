"""Two equal ways to use several devices: `jit` with a sharded batch (the default) and `pmap`.

Both give every device the whole state and a share of the batch, and both take the same step as one device, up
to rounding: sums over the batch are made in another order. `jit` sees the batch as one array, so that random
draws (dropout) and batch statistics are also those of one device. `pmap` runs the loss once per device: each
has its own random draws, and statistics are of the device's share unless the model averages them over
`PMAP_AXIS` (for example `flax.linen.BatchNorm(axis_name=PMAP_AXIS)`). JAX keeps `pmap` in maintenance mode.
"""

import abc
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from geoattn_jax.training.labels import Labels
from geoattn_jax.training.phase import Batch, Phase
from geoattn_jax.training.step import Step, make_step

PMAP_AXIS = "devices"


class Parallelism(abc.ABC):
    """How a run's state and batches lie on its devices.

    Attributes:
      axis_name: the axis over which a loss may average, where it sees only one device's share.
    """

    axis_name: str | None

    @abc.abstractmethod
    def __init__(self, devices: Sequence[jax.Device]):
        """Uses these devices."""

    @abc.abstractmethod
    def compile(self, phase: Phase, labels: Labels, *, seed: int) -> Step:
        """The phase's compiled step; it takes the memory of the state that it is given."""

    @abc.abstractmethod
    def place(self, tree: Any) -> Any:
        """Copies a state, or a part of one, from one device to all."""

    @abc.abstractmethod
    def single(self, tree: Any) -> Any:
        """A placed state, or a part of one, as one device sees it. Its memory may be that of the original."""

    @abc.abstractmethod
    def place_batch(self, phase: Phase, batch: Batch) -> Batch:
        """Splits a batch over the devices."""


class JitParallelism(Parallelism):
    """One program on arrays that are spread over a mesh; XLA inserts the communication."""

    axis_name = None

    def __init__(self, devices: Sequence[jax.Device]):
        mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=(AxisType.Auto,), devices=devices)
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec("batch"))

    def compile(self, phase: Phase, labels: Labels, *, seed: int) -> Step:
        return jax.jit(
            make_step(phase, labels, seed=seed),
            donate_argnums=0,
            in_shardings=(self._whole, self._batch_shardings(phase)),
            out_shardings=self._whole,
        )

    def place(self, tree: Any) -> Any:
        # Copied first: with several devices may_alias=False would not keep the original from being donated.
        return jax.device_put(jax.tree.map(jnp.copy, tree), self._whole)

    def single(self, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)

    def place_batch(self, phase: Phase, batch: Batch) -> Batch:
        return jax.device_put(batch, self._batch_shardings(phase))

    def _batch_shardings(self, phase: Phase) -> Any:
        return jax.tree.map(
            lambda axis: self._whole if axis is None else self._split,
            phase.batch_axes,
            is_leaf=lambda axis: axis is None,
        )


class PmapParallelism(Parallelism):
    """One program per device on its own share; gradients, metrics and model state are averaged."""

    axis_name = PMAP_AXIS

    def __init__(self, devices: Sequence[jax.Device]):
        self._devices = devices
        mesh = jax.make_mesh((len(devices),), (PMAP_AXIS,), axis_types=(AxisType.Auto,), devices=devices)
        self._one_each = NamedSharding(mesh, PartitionSpec(PMAP_AXIS))

    def compile(self, phase: Phase, labels: Labels, *, seed: int) -> Step:
        return jax.pmap(
            make_step(phase, labels, seed=seed, axis_name=PMAP_AXIS),
            axis_name=PMAP_AXIS,
            in_axes=(0, phase.batch_axes),
            out_axes=(0, None),
            devices=self._devices,
            donate_argnums=0,
        )

    def place(self, tree: Any) -> Any:
        count = len(self._devices)
        views = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *leaf.shape)), tree)
        return jax.device_put(views, self._one_each)

    def single(self, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)

    def place_batch(self, phase: Phase, batch: Batch) -> Batch:
        count = len(self._devices)
        axes = batch_axes(phase, batch)
        return jax.tree.map(
            lambda leaf, axis: leaf if axis is None else leaf.reshape(count, -1, *leaf.shape[1:]), batch, axes
        )


PARALLELISMS: dict[str, type[Parallelism]] = {"jit": JitParallelism, "pmap": PmapParallelism}


def batch_axes(phase: Phase, batch: Batch) -> Any:
    """The phase's `batch_axes` for every leaf of the batch.

    Raises: ValueError if `batch_axes` is no prefix of the batch's tree.
    """
    try:
        return jax.tree.broadcast(phase.batch_axes, batch, is_leaf=lambda axis: axis is None)
    except ValueError as error:
        raise ValueError(
            f"phase {phase.name!r}: batch_axes {phase.batch_axes!r} must be a prefix of the batch's tree, "
            f"which is {jax.tree.structure(batch)}"
        ) from error


def check_batch(phase: Phase, batch: Batch, *, devices: int) -> None:
    """Checks that a batch can be split over the devices.

    Raises: ValueError naming the phase, the sizes and what to do.
    """
    axes = jax.tree.leaves(batch_axes(phase, batch), is_leaf=lambda axis: axis is None)
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    sizes = {}
    for (path, leaf), axis in zip(leaves, axes, strict=True):
        name = f"batch{jax.tree_util.keystr(path)}"
        if not hasattr(leaf, "shape"):
            raise ValueError(f"phase {phase.name!r}: {name} must be an array, got {type(leaf).__name__}")
        if axis is None:
            continue
        if not leaf.shape:
            raise ValueError(
                f"phase {phase.name!r}: {name} must have a first axis of examples, got a single number; "
                f"give leaves that are not split the axis None in batch_axes"
            )
        sizes[name] = leaf.shape[0]
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"phase {phase.name!r}: the batch's leaves must have equally many examples, got {sizes}"
        )
    for size in sizes.values():
        if size % devices:
            raise ValueError(
                f"phase {phase.name!r}: a batch of {size} examples cannot be split over {devices} devices; "
                f"make it a multiple of {devices} or pass fewer devices"
            )
