"""A phase of training: which parameters learn, on what, by which rule, for how long."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from geoattn_jax.training.checks import check_whole

Params = Any  # a pytree of arrays
ModelState = Any  # a pytree of arrays that training changes without gradients: flax's mutable collections
Batch = Any  # a pytree of arrays
Metrics = Mapping[str, jax.Array]
Loss = Callable[..., tuple[jax.Array, tuple[ModelState, Metrics]]]  # its arguments: see Phase


@dataclasses.dataclass(frozen=True)
class Phase:
    """Some steps in which a subset of the parameters minimizes one loss.

    The optimizers start afresh with every phase: their moments are zero and their schedules count from 0.

    Attributes:
      name: what metrics and messages call the phase; unique within a run.
      steps: how many batches it takes.
      batch: (seed, step) -> batch, a pure function; step counts from 0 within the phase. A compiled renderer
        or indexing on the host. Every phase of a run is given the run's seed: phases that must not see the
        same random draws derive their own from it. With `batch_size` it is (seed, step, rows) -> the examples
        of the batch that have these numbers, which are from 0 and in a NumPy array: each of several processes
        asks for those of its own devices, and sub-batches are asked for one after another. Without, every
        process computes all.
      loss: (params, model_state, batch, key) -> (loss, (new model_state, metrics)), pure and differentiable.
        params is the whole tree, frozen parameters included; key is new in every sub-batch; loss and metrics
        are scalars. They must be *means* over the examples, not sums: `parallel="pmap"` averages over
        devices. If the phase is `weighted` it is given the examples' weights as well: None, where all count
        alike, or an array of zeros and ones, by which all means must be weighted.
      optimizers: a rule per parameter label. Parameters with other labels are frozen: they cost neither
        gradient nor optimizer memory and come out bit-identical.
      batch_axes: where the examples are, as in `jax.vmap`'s `in_axes`: 0 for leaves whose first axis is split
        over the devices, None for leaves that every device gets whole; a prefix of the batch's tree.
      evaluate: (params, model_state) -> numbers, for example the accuracy on test data, reported as metrics
        with eval_ before their names. It must not keep the arrays that it is given: their memory is used
        again.
      evaluate_every: after how many steps, besides the last, `evaluate` is called; None for the last only.
      shown: the metric that progress shows, where the loss itself would tell little.
      batch_size: how many examples a batch has; None where `batch` gives all at once.
      sub_batches: in how many parts one device takes a batch, adding up their gradients (gradient
        accumulation); several devices take it in as many fewer. Metrics are means over the parts in which
        they are not NaN, and model state, such as running averages, moves with every part. Needs
        `batch_size`.
      weighted: whether a batch that devices cannot share evenly may be filled up with examples of weight 0.
        Needs `batch_size`.
      reads_ahead: how many sub-batches of all devices threads read while these compute; for batches that come
        from files. 0 asks for each when it is needed.

    Raises: ValueError naming the phase and the field.
    """

    name: str
    steps: int
    batch: Callable[..., Batch]
    loss: Loss
    optimizers: Mapping[str, optax.GradientTransformation]
    batch_axes: Any = 0
    evaluate: Callable[[Params, ModelState], Mapping[str, Any]] | None = None
    evaluate_every: int | None = None
    shown: str = "loss"
    batch_size: int | None = None
    sub_batches: int = 1
    weighted: bool = False
    reads_ahead: int = 0

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"Phase: name must be a non-empty string, got {self.name!r}")
        check_whole(f"phase {self.name!r}", "steps", self.steps, minimum=1)
        for field in ("batch", "loss"):
            self._require(callable(getattr(self, field)), field, "a function")
        if not isinstance(self.optimizers, Mapping) or not self.optimizers:
            self._fail(
                "optimizers", "a non-empty mapping from labels to optax optimizers; nothing would learn"
            )
        for label, optimizer in self.optimizers.items():
            if not isinstance(optimizer, optax.GradientTransformation):
                hint = (
                    "; take its .gradient_transformation()" if isinstance(optimizer, optax.MultiSteps) else ""
                )
                raise ValueError(
                    f"phase {self.name!r}: optimizers[{label!r}] must be an optax.GradientTransformation, "
                    f"got {type(optimizer).__name__}{hint}"
                )
        axes = jax.tree.leaves(self.batch_axes, is_leaf=lambda axis: axis is None)
        self._require(all(axis in (0, None) for axis in axes), "batch_axes", "made of 0 and None")
        self._require(self.evaluate is None or callable(self.evaluate), "evaluate", "a function or None")
        if self.evaluate_every is not None:
            self._require(self.evaluate is not None, "evaluate_every", "None without evaluate")
            check_whole(f"phase {self.name!r}", "evaluate_every", self.evaluate_every, minimum=1)
        self._check_batches()

    def whole_batch(self, seed: int, step: int) -> Batch:
        """All examples of a batch."""
        if self.batch_size is None:
            return self.batch(seed, step)
        return self.batch(seed, step, np.arange(self.batch_size))

    def evaluates_after(self, step: int) -> bool:
        """Whether `evaluate` is due when `step` steps of the phase are done."""
        if self.evaluate is None:
            return False
        return step == self.steps or (self.evaluate_every is not None and step % self.evaluate_every == 0)

    def _check_batches(self) -> None:
        check_whole(f"phase {self.name!r}", "sub_batches", self.sub_batches, minimum=1)
        check_whole(f"phase {self.name!r}", "reads_ahead", self.reads_ahead, minimum=0)
        if self.batch_size is None:
            self._require(self.sub_batches == 1, "sub_batches", "1 without batch_size")
            self._require(not self.weighted, "weighted", "False without batch_size")
            return
        check_whole(f"phase {self.name!r}", "batch_size", self.batch_size, minimum=1)
        self._require(
            self.batch_size % self.sub_batches == 0, "sub_batches", f"a divisor of {self.batch_size} examples"
        )

    def _require(self, fits: bool, field: str, expected: str) -> None:
        if not fits:
            self._fail(field, expected)

    def _fail(self, field: str, expected: str) -> None:
        raise ValueError(f"phase {self.name!r}: {field} must be {expected}, got {getattr(self, field)!r}")


def starts(phases: Sequence[Phase]) -> Iterator[tuple[int, Phase]]:
    """The phases in order, each with the number of steps of the run that come before it."""
    ends = itertools.accumulate((phase.steps for phase in phases), initial=0)
    return zip(ends, phases, strict=False)  # the last end has no phase
