"""Updates on more examples than fit into memory at once (gradient accumulation)."""

import dataclasses

import optax

from geoattn_jax.training.phase import Phase


def in_sub_batches(phase: Phase, count: int) -> Phase:
    """The phase with each of its updates taken in parts, whose gradients are added up one after another.

    The mean of the parts' gradients is the whole batch's. A step of the phase that is returned is one part:
    metrics are of parts, and model state, such as running averages, moves with every part.

    Args:
      phase: its `steps` and `evaluate_every` count updates, as do the schedules of its optimizers; but of its
        `batch`, whose steps count parts, each call gives one part.
      count: how many parts an update has.
    """
    if count == 1:
        return phase  # MultiSteps would keep a copy of the gradients all the same

    def accumulating(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        return optax.MultiSteps(optimizer, count).gradient_transformation()

    every = phase.evaluate_every
    return dataclasses.replace(
        phase,
        steps=phase.steps * count,
        optimizers={label: accumulating(optimizer) for label, optimizer in phase.optimizers.items()},
        evaluate_every=None if every is None else every * count,
    )
