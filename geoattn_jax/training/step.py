"""The state of a training run and the pure function that takes it one step further."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from geoattn_jax.training.labels import Labels, combine, partition, phase_optimizer
from geoattn_jax.training.phase import Batch, ModelState, Params, Phase

RESERVED_METRICS = ("step", "phase", "phase_step", "loss", "seconds")


class TrainState(NamedTuple):
    """Everything that a step changes."""

    step: jax.Array  # steps done since the start of the run, int32
    params: Params
    model_state: ModelState
    opt_state: Any  # () between phases


Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def initial_opt_state(phase: Phase, labels: Labels, params: Params) -> Any:
    """The optimizer state with which a phase starts; it has entries for the trained parameters only."""
    trained, _ = partition(params, labels, phase.optimizers)
    return phase_optimizer(phase, labels).init(trained)


def make_step(phase: Phase, labels: Labels, *, seed: int, axis_name: str | None = None) -> Step:
    """The function (state, batch) -> (state, metrics) that makes one update.

    Only the trained parameters are differentiated and given to the optimizer; the frozen ones pass through.

    Args:
      phase: what to do.
      labels: the parameters' labels.
      seed: of the run; the loss's key is a function of it and of the step.
      axis_name: the devices' axis where each device sees its own share of the batch (pmap): gradients,
        metrics and model state are then averaged over it, and each device's loss has a key of its own.
    """
    optimizer = phase_optimizer(phase, labels)

    def average(tree: Any) -> Any:
        if axis_name is None:
            return tree

        def average_leaf(leaf: Any) -> Any:
            floating = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
            return jax.lax.pmean(leaf, axis_name) if floating else leaf  # counters are equal everywhere

        return jax.tree.map(average_leaf, tree)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        trained, frozen = partition(state.params, labels, phase.optimizers)

        def loss_of(trained: Params) -> tuple[jax.Array, tuple]:
            return phase.loss(combine(trained, frozen), state.model_state, batch, key)

        (loss, (model_state, metrics)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            updates, opt_state = optimizer.update(average(gradients), state.opt_state, trained)
        params = combine(optax.apply_updates(trained, updates), frozen)
        metrics = average({"loss": loss, **metrics})
        return TrainState(state.step + 1, params, average(model_state), opt_state), metrics

    return step


def check_loss(
    phase: Phase, params: Params, model_state: ModelState, batch: Batch, *, axis_name: str | None = None
) -> None:
    """Checks what a phase's loss returns, by its shapes alone; the arguments are those of `make_step`.

    Raises: ValueError naming the phase and what is wrong.
    """

    def fail(what: str) -> None:
        raise ValueError(f"phase {phase.name!r}: loss must return (loss, (model_state, metrics)); {what}")

    loss_function = phase.loss
    if axis_name is not None:
        loss_function = jax.vmap(loss_function, in_axes=None, out_axes=None, axis_name=axis_name, axis_size=1)
    result = jax.eval_shape(loss_function, params, model_state, batch, jax.random.key(0))
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
