"""A step of the training loop as a contender."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.suite import OURS, Contender
from geoattn_jax.training import Phase
from geoattn_jax.training.division import Portion, divide
from geoattn_jax.training.labels import Labels, by_module, label_parameters
from geoattn_jax.training.parallel import JitParallelism, Update
from geoattn_jax.training.phase import Batch, Params
from geoattn_jax.training.step import StepFunctions, TrainState, initial_opt_state

SEED = 0


def compiled_update(phase: Phase, labels: Labels, devices: list[jax.Device]) -> Update:
    """The training loop's own."""
    return JitParallelism(devices).compile(_step_functions(phase, labels, devices))


def _step_functions(phase: Phase, labels: Labels, devices: list[jax.Device]) -> StepFunctions:
    division = divide(phase, phase.batch_size or len(devices), len(devices), fills=True)
    return StepFunctions(phase, labels, SEED, division, None)


def training_step(phase: Phase, batch: Batch, params: Params) -> Contender:
    """Every call takes the next step on the same batch; of its result only the loss is an array.

    A step of a whole batch has parts, each a program of its own: its gradients, and the optimizer's update
    from those found last.

    Args:
      phase: whose step; where it has sub-batches, a step is one of them, whose gradients are added up.
      batch: of one step.
      params: the initial ones.
    """
    labels, devices = label_parameters(params, by_module), jax.devices()[:1]
    update, functions = compiled_update(phase, labels, devices), _step_functions(phase, labels, devices)
    params = jax.tree.map(jnp.copy, params)  # the step takes the memory of its state
    state = TrainState(jnp.zeros((), jnp.int32), params, {}, initial_opt_state(phase, labels, params))
    portion = Portion(batch, None)
    sums = update.empty(state, portion)

    def call() -> tuple[TrainState, Any]:
        nonlocal state, sums
        if phase.sub_batches == 1:
            state, metrics = jax.block_until_ready(update.step(state, portion))
        else:
            state, sums = jax.block_until_ready(update.add(state, sums, portion, np.int32(0)))
            metrics = sums.metrics
        return state, metrics

    @jax.jit
    def differentiate(state: TrainState, portion: Portion) -> Params:
        _, gradients, _ = functions.differentiate(state, portion, functions.key(state))
        return gradients

    optimize, found = jax.jit(functions.update, donate_argnums=0), None

    def gradients() -> None:
        nonlocal found
        found = jax.block_until_ready(differentiate(state, portion))

    def optimizer() -> None:
        nonlocal state
        state = jax.block_until_ready(optimize(state, found))

    def arrays(result: tuple[TrainState, Any]) -> dict[str, np.ndarray]:
        _, metrics = result
        return {"loss": np.asarray(metrics["loss"])}

    parts = {"gradients": gradients, "optimizer": optimizer} if phase.sub_batches == 1 else {}
    return Contender(OURS, "step", call, arrays, parts=parts)
