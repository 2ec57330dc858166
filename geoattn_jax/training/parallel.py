"""Two equal ways to use several devices: `jit` with a sharded batch (the default) and `pmap`.

Both give every device the whole state and a share of the batch, and both take the same step as one device,
up to rounding: sums over the batch are made in another order. (Sub-batches are a device's: with more devices
there are fewer, whose random draws and statistics are others.) `jit` sees the batch as one array, so that
random draws (dropout) and batch statistics are also those of one device. `pmap` runs the loss once per
device: each has its own random draws, and statistics are of the device's share unless the model averages
them over `PMAP_AXIS` (for example `flax.linen.BatchNorm(axis_name=PMAP_AXIS)`). JAX keeps `pmap` in
maintenance mode.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from geoattn_jax.training.devices import Devices
from geoattn_jax.training.division import Portion, batch_axes
from geoattn_jax.training.phase import Phase
from geoattn_jax.training.step import StepFunctions, TrainState

PMAP_AXIS = "devices"

Kind = Literal["state", "portion", "number"]  # what a compiled function takes or gives: states lie as sums do


@dataclasses.dataclass(frozen=True)
class Update:
    """A phase's update, compiled: from a state and the portions of a batch to the next state and the metrics.

    It takes the memory of the state.

    Attributes:
      portions: how many a batch has.
      step, empty, add, finish: see `StepFunctions`.
    """

    portions: int
    step: Callable
    empty: Callable
    add: Callable
    finish: Callable

    def __call__(
        self, state: TrainState, portions: Iterable[Portion]
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        if self.portions == 1:
            return self.step(state, *portions)
        sums = None
        for number, portion in enumerate(portions):
            sums = self.empty(state, portion) if sums is None else sums
            state, sums = self.add(state, sums, portion, np.int32(number))
        return self.finish(state, sums)


class Parallelism(abc.ABC):
    """How a run's state and batches lie on its devices.

    Attributes:
      axis_name: the axis over which a loss may average, where it sees only one device's share.
      fills: whether batches may be filled up with examples of weight 0.
      devices: in a row.
    """

    axis_name: str | None
    fills: bool

    def __init__(self, devices: Sequence[jax.Device]):
        """Uses these devices."""
        self.devices = Devices(devices)

    def compile(self, functions: StepFunctions) -> Update:
        """A phase's compiled update."""
        compiled = partial(self._compiled, functions.phase)
        summed: list[Kind] = ["state", "state"]
        return Update(
            portions=functions.division.portions,
            step=compiled(functions.step, ["state", "portion"], ["state", "number"], donates=[0]),
            empty=compiled(functions.empty, ["state", "portion"], "state", donates=[]),
            add=compiled(functions.add, [*summed, "portion", "number"], summed, donates=[0, 1]),
            finish=compiled(functions.finish, summed, ["state", "number"], donates=[0]),
        )

    @abc.abstractmethod
    def place(self, tree: Any) -> Any:
        """Copies a state, or a part of one, from one device to all."""

    @abc.abstractmethod
    def single(self, tree: Any) -> Any:
        """A placed state, or a part of one, as one device sees it. Its memory may be that of the original."""

    @abc.abstractmethod
    def place_portion(self, phase: Phase, portion: Portion) -> Portion:
        """Splits a portion over the devices, given this process's examples of it."""

    @abc.abstractmethod
    def _compiled(
        self, phase: Phase, function: Callable, takes: list[Kind], gives: Any, *, donates: list[int]
    ) -> Callable:
        """The function, compiled; it takes the memory of those arguments that it `donates` to its results."""


class JitParallelism(Parallelism):
    """One program on arrays that are spread over a mesh; XLA inserts the communication."""

    axis_name = None
    fills = True

    def place(self, tree: Any) -> Any:
        # Copied first: with several devices may_alias=False would not keep the original from being donated.
        return self.devices.place_whole(jax.tree.map(jnp.copy, tree))

    def single(self, tree: Any) -> Any:
        return self.devices.single(tree)

    def place_portion(self, phase: Phase, portion: Portion) -> Portion:
        def place(leaf: Any, axis: int | None) -> jax.Array:
            return self.devices.place_whole(leaf) if axis is None else self.devices.place_split(leaf)

        batch = jax.tree.map(place, portion.batch, batch_axes(phase, portion.batch))
        return Portion(batch, self.devices.place_split(portion.weights))

    def _compiled(
        self, phase: Phase, function: Callable, takes: list[Kind], gives: Any, *, donates: list[int]
    ) -> Callable:
        whole, split = self.devices.whole, self.devices.split
        batch = jax.tree.map(
            lambda axis: whole if axis is None else split, phase.batch_axes, is_leaf=lambda axis: axis is None
        )
        shardings = {"state": whole, "portion": Portion(batch, split), "number": whole}
        return jax.jit(
            function,
            donate_argnums=donates,
            in_shardings=tuple(shardings[kind] for kind in takes),
            out_shardings=whole,
        )


class PmapParallelism(Parallelism):
    """One program per device on its own share; gradients, metrics and model state are averaged."""

    axis_name = PMAP_AXIS
    fills = False

    def __init__(self, devices: Sequence[jax.Device]):
        super().__init__(devices)
        self._row = devices
        mesh = jax.make_mesh((len(devices),), (PMAP_AXIS,), axis_types=(AxisType.Auto,), devices=devices)
        self._one_each = NamedSharding(mesh, PartitionSpec(PMAP_AXIS))

    def place(self, tree: Any) -> Any:
        count = len(self._row)
        views = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *leaf.shape)), tree)
        return jax.device_put(views, self._one_each)

    def single(self, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)

    def place_portion(self, phase: Phase, portion: Portion) -> Portion:
        count = len(self._row)
        axes = batch_axes(phase, portion.batch)
        batch = jax.tree.map(
            lambda leaf, axis: leaf if axis is None else leaf.reshape(count, -1, *leaf.shape[1:]),
            portion.batch,
            axes,
        )
        return Portion(batch, None)

    def _compiled(
        self, phase: Phase, function: Callable, takes: list[Kind], gives: Any, *, donates: list[int]
    ) -> Callable:
        axes = {"state": 0, "portion": Portion(phase.batch_axes, None), "number": None}
        return jax.pmap(
            function,
            axis_name=PMAP_AXIS,
            in_axes=tuple(axes[kind] for kind in takes),
            out_axes=axes[gives] if isinstance(gives, str) else tuple(axes[kind] for kind in gives),
            devices=self._row,
            donate_argnums=donates,
        )


PARALLELISMS: dict[str, type[Parallelism]] = {"jit": JitParallelism, "pmap": PmapParallelism}
