"""How a batch is divided among devices and, where it does not fit into memory at once, over time."""

import dataclasses
import logging
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from geoattn_jax.training.devices import Devices, Rows
from geoattn_jax.training.phase import Batch, Phase

_log = logging.getLogger(__name__)


class DivisionError(ValueError):
    """A batch that the devices cannot share."""


class Portion(NamedTuple):
    """What the devices get at a time.

    Attributes:
      batch: some examples of a batch, or all.
      weights: 0 for examples that only fill up, 1 for the others; None where all count.
    """

    batch: Batch
    weights: Any


@dataclasses.dataclass(frozen=True)
class Division:
    """Portions of a batch.

    Attributes:
      examples: of the batch.
      devices: that share each portion.
      portions: how many there are.
      size: how many examples each device gets in one.
    """

    examples: int
    devices: int
    portions: int
    size: int

    @property
    def filling(self) -> int:
        """How many examples only fill up."""
        return self.portions * self.devices * self.size - self.examples

    def share(self, portion: Portion) -> jax.Array | float:
        """A portion's part of its batch, a fraction."""
        if portion.weights is None:
            return 1 / self.portions
        return portion.weights.sum() / self.examples

    def rows(self, portion: int) -> Rows:
        """The numbers of a portion's examples, device by device; those of a filling are beyond the last."""
        together = self.devices * self.size
        return np.arange(portion * together, (portion + 1) * together)


def divide(phase: Phase, examples: int, devices: int, *, fills: bool) -> Division:
    """Divides a phase's batches so that all devices work, each on no more examples than fit into one.

    Args:
      phase: whose sub-batches are those of one device.
      examples: of a batch.
      devices: how many there are.
      fills: whether batches may be filled up.

    Raises: DivisionError saying what would fit, if the devices cannot share the batch evenly.
    """
    fits = -(-examples // phase.sub_batches)
    portions = -(-examples // (fits * devices))
    if examples % devices == 0:
        while (examples // devices) % portions:
            portions += 1
    division = Division(examples, devices, portions, -(-examples // (portions * devices)))
    if division.filling and not fills:
        raise DivisionError(f"phase {phase.name!r}: {does_not_divide(examples, devices)}")
    if division.filling:
        _log.info(
            "%s: %d examples are filled up to %d, without weight, for %d devices",
            phase.name, examples, examples + division.filling, devices,
        )  # fmt: skip
    return division


def does_not_divide(examples: int, devices: int) -> str:
    """Says so, and what would."""
    fewer, more = examples // devices * devices, -(-examples // devices) * devices
    return (
        f"a batch of {examples} examples cannot be split over {devices} devices; "
        f"take {f'{fewer} or {more}' if fewer else more}, or let the program see fewer devices"
    )


def read_portion(
    phase: Phase, division: Division, devices: Devices, *, seed: int, step: int, portion: int
) -> tuple[Batch, Float[np.ndarray, " r"] | None]:
    """The examples of a portion that this process's devices get, in their order, and the weights of them."""
    rows = devices.own_rows(division.rows(portion))
    if phase.batch_size is None:
        batch = phase.whole_batch(seed, step)
        if len(rows) == division.examples and not division.filling:
            return batch, None
        known = np.minimum(rows, division.examples - 1)
        axes = batch_axes(phase, batch)
        return jax.tree.map(lambda leaf, axis: leaf if axis is None else leaf[known], batch, axes), None
    batch = phase.batch(seed, step, np.minimum(rows, division.examples - 1))
    return batch, (rows < division.examples).astype(np.float32) if division.filling else None


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


def count_examples(phase: Phase, batch: Batch) -> int | None:
    """How many examples a batch, or a part of one, has; None if all of it goes to every device.

    Raises: ValueError naming the phase, the leaves and what to do, if they do not agree.
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
    return next(iter(sizes.values()), None)
