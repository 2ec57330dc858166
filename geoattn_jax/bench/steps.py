"""A step of the training loop as a contender."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.suite import OURS, Contender
from geoattn_jax.training import Phase
from geoattn_jax.training.labels import by_module, label_parameters
from geoattn_jax.training.phase import Batch, Params
from geoattn_jax.training.step import TrainState, initial_opt_state, make_step

SEED = 0


def training_step(phase: Phase, batch: Batch, params: Params) -> Contender:
    """Every call takes the next step on the same batch; of its result only the loss is an array."""
    labels = label_parameters(params, by_module)
    step = jax.jit(make_step(phase, labels, seed=SEED), donate_argnums=0)
    params = jax.tree.map(jnp.copy, params)  # the step takes the memory of its state
    state = TrainState(jnp.zeros((), jnp.int32), params, {}, initial_opt_state(phase, labels, params))

    def call() -> tuple[TrainState, Any]:
        nonlocal state
        state, metrics = jax.block_until_ready(step(state, batch))
        return state, metrics

    def arrays(result: tuple[TrainState, Any]) -> dict[str, np.ndarray]:
        _, metrics = result
        return {"loss": np.asarray(metrics["loss"])}

    return Contender(OURS, "step", call, arrays)
