"""The state of a training run and the pure functions that take it one step further."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from geoattn_jax.training.division import Division, Portion
from geoattn_jax.training.labels import Labels, combine, partition, phase_optimizer
from geoattn_jax.training.phase import ModelState, Params, Phase

RESERVED_METRICS = ("step", "phase", "phase_step", "loss", "seconds")


class TrainState(NamedTuple):
    """Everything that a step changes."""

    step: jax.Array  # steps done since the start of the run, int32
    params: Params
    model_state: ModelState
    opt_state: Any  # () between phases


def initial_opt_state(phase: Phase, labels: Labels, params: Params) -> Any:
    """The optimizer state with which a phase starts; it has entries for the trained parameters only."""
    trained, _ = partition(params, labels, phase.optimizers)
    return phase_optimizer(phase, labels).init(trained)


class Sums(NamedTuple):
    """What some portions of a batch add up to; of all portions it is the whole batch's mean."""

    gradients: Params
    metrics: dict[str, jax.Array]
    known: dict[str, jax.Array]  # the share of the batch in which each metric is not NaN


@dataclasses.dataclass(frozen=True)
class StepFunctions:
    """The pure functions of a phase's steps.

    Only the trained parameters are differentiated and given to the optimizer; the frozen ones pass through.

    Attributes:
      phase: what to do.
      labels: the parameters' labels.
      seed: of the run; the loss's key is a function of it, of the step and of the portion.
      division: of the phase's batches.
      axis_name: the devices' axis where each device sees its own share of the batch (pmap): gradients,
        metrics and model state are then averaged over it, and each device's loss has a key of its own.
    """

    phase: Phase
    labels: Labels
    seed: int
    division: Division
    axis_name: str | None

    def step(self, state: TrainState, portion: Portion) -> tuple[TrainState, dict[str, jax.Array]]:
        """One update from a batch that is one portion; also gives the metrics."""
        state, gradients, metrics = self.differentiate(state, portion, self.key(state))
        return self.update(state, gradients), metrics

    def empty(self, state: TrainState, portion: Portion) -> Sums:
        """Of no portions."""
        _, gradients, metrics = jax.eval_shape(self.differentiate, state, portion, jax.random.key(0))
        nothing = {name: jnp.zeros((), jnp.float32) for name in metrics}
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), gradients)
        return Sums(zeros, nothing, nothing)

    def add(
        self, state: TrainState, sums: Sums, portion: Portion, number: Int[Array, ""]
    ) -> tuple[TrainState, Sums]:
        """Adds one more portion, the one with that number; the state keeps its step and its parameters."""
        weight = jnp.asarray(self.division.share(portion), jnp.float32)
        key = jax.random.fold_in(self.key(state), number)
        state, gradients, metrics = self.differentiate(state, portion, key)
        gradients = jax.tree.map(
            lambda total, leaf: total + weight.astype(leaf.dtype) * leaf, sums.gradients, gradients
        )
        totals, known = dict(sums.metrics), dict(sums.known)
        for name, value in metrics.items():
            # A portion may have nothing of what a metric is about. But what is wrong with the loss must show.
            counts = True if name == "loss" else ~jnp.isnan(value)
            totals[name] += jnp.where(counts, weight * value.astype(jnp.float32), 0)
            known[name] += jnp.where(counts, weight, 0)
        return state, Sums(gradients, totals, known)

    def finish(self, state: TrainState, sums: Sums) -> tuple[TrainState, dict[str, jax.Array]]:
        """The update from all portions; also gives the metrics."""
        means = {name: total / sums.known[name] for name, total in sums.metrics.items()}
        return self.update(state, sums.gradients), means

    def update(self, state: TrainState, gradients: Params) -> TrainState:
        """The optimizer's update of the trained parameters, given their gradients."""
        trained, frozen = partition(state.params, self.labels, self.phase.optimizers)
        optimizer = phase_optimizer(self.phase, self.labels)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
        params = combine(optax.apply_updates(trained, updates), frozen)
        return TrainState(state.step + 1, params, state.model_state, opt_state)

    def key(self, state: TrainState) -> PRNGKeyArray:
        """The key of the state's next step."""
        key = jax.random.fold_in(jax.random.key(self.seed), state.step)
        if self.axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(self.axis_name))
        return key

    def differentiate(
        self, state: TrainState, portion: Portion, key: PRNGKeyArray
    ) -> tuple[TrainState, Params, dict[str, jax.Array]]:
        """The state with what the loss made of its model state; the portion's gradients and metrics."""
        trained, frozen = partition(state.params, self.labels, self.phase.optimizers)

        def loss_of(trained: Params) -> tuple[jax.Array, tuple]:
            return call_loss(self.phase, combine(trained, frozen), state.model_state, portion, key)

        (loss, (model_state, metrics)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
        averaged = self._average((model_state, gradients, {"loss": loss, **metrics}))
        return state._replace(model_state=averaged[0]), *averaged[1:]

    def _average(self, tree: Any) -> Any:
        if self.axis_name is None:
            return tree

        def average_leaf(leaf: Any) -> Any:
            floating = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
            return jax.lax.pmean(leaf, self.axis_name) if floating else leaf  # counters are equal everywhere

        return jax.tree.map(average_leaf, tree)


def call_loss(
    phase: Phase, params: Params, model_state: ModelState, portion: Portion, key: PRNGKeyArray
) -> Any:
    """What a phase's loss gives for some examples."""
    weights = (portion.weights,) if phase.weighted else ()
    return phase.loss(params, model_state, portion.batch, key, *weights)


def check_loss(
    phase: Phase, params: Params, model_state: ModelState, portion: Portion, *, axis_name: str | None = None
) -> None:
    """Checks what a phase's loss returns, by its shapes alone.

    Args:
      phase: whose.
      params, model_state: of the run.
      portion: of a batch.
      axis_name: see `StepFunctions`.

    Raises: ValueError naming the phase and what is wrong.
    """

    def fail(what: str) -> None:
        raise ValueError(f"phase {phase.name!r}: loss must return (loss, (model_state, metrics)); {what}")

    loss_function = partial(call_loss, phase)
    if axis_name is not None:
        loss_function = jax.vmap(loss_function, in_axes=None, out_axes=None, axis_name=axis_name, axis_size=1)
    result = jax.eval_shape(loss_function, params, model_state, portion, jax.random.key(0))
    try:
        loss, (new_model_state, metrics) = result
        metrics = dict(metrics)
    except (TypeError, ValueError):
        fail(f"got {jax.tree.map(lambda leaf: leaf.shape, result)}")
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        fail(f"loss must be one floating point number, got {loss}")
    old, new = jax.tree.map(_kind, model_state), jax.tree.map(_kind, new_model_state)
    if old != new:
        fail(f"model_state must keep its structure, shapes and dtypes: it was {old}, became {new}")
    known = sorted({"loss", *metrics})
    if phase.shown not in known:
        raise ValueError(f"phase {phase.name!r}: shown must be one of {known}, got {phase.shown!r}")
    for name, metric in metrics.items():
        if name in RESERVED_METRICS:
            fail(f"the metric {name!r} has a name that the loop uses itself; rename it")
        if metric.shape != ():
            fail(f"the metric {name!r} must be one number, got shape {metric.shape}; reduce it in the loss")


def _kind(leaf: Any) -> tuple:
    return leaf.shape, str(leaf.dtype)
