"""Optimizers by the names that configs give them, each made from a learning rate or its schedule."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, muon

from geoattn_jax.training.phase import Params

Optimizer = Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]


def _of_convolutions(params: Params) -> Params:
    """The axes of a convolution's inputs and outputs; None for other parameters."""
    axes = MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)
    return jax.tree.map(lambda param: axes if param.ndim == 4 else None, params)


# Muon (Jordan et al. 2024) moves a matrix equally far in all directions: unless told of other axes, whatever
# has two. The rest learns by AdamW; the factor makes Muon's steps as large, so that one rate fits both.
_muon = partial(muon, consistent_rms=0.2, weight_decay=1e-4, adam_weight_decay=1e-4)


def _scale_by_adadelta(rho: float, eps: float) -> optax.GradientTransformation:
    """Adadelta's update (Zeiler 2012, Algorithm 1), equal to optax's but for rounding.

    It takes the root of the quotient of the two means, where optax divides their roots: on a CPU that saves
    writing and reading an array as large as the parameters.

    Args:
      rho: how much of the running means each update keeps.
      eps: what is added to both means.
    """

    def update(gradients: Params, state: optax.ScaleByAdaDeltaState, params: Params | None = None):
        del params
        e_g = optax.tree.update_moment(gradients, state.e_g, rho, 2)
        updates = jax.tree.map(
            lambda gradient, g, x: jnp.sqrt((x + eps) / (g + eps)) * gradient, gradients, e_g, state.e_x
        )
        e_x = optax.tree.update_moment(updates, state.e_x, rho, 2)
        return updates, optax.ScaleByAdaDeltaState(e_g, e_x)

    return optax.GradientTransformation(optax.scale_by_adadelta().init, update)


def _adadelta(
    learning_rate: optax.ScalarOrSchedule, *, rho: float, eps: float
) -> optax.GradientTransformation:
    # The first keeps the structure of the state of `optax.adadelta`, and so checkpoints can be read.
    return optax.chain(
        optax.identity(), _scale_by_adadelta(rho, eps), optax.scale_by_learning_rate(learning_rate)
    )


# These update every number by itself: trainings that lie side by side in one array stay independent.
ELEMENTWISE: dict[str, Optimizer] = {
    # As Keras had it in 2017.
    "adadelta": partial(_adadelta, rho=0.95, eps=1e-8),
    "adam": partial(optax.adam, b1=0.9, b2=0.99),
    "adamw": optax.adamw,
    "momentum": partial(optax.sgd, momentum=0.9),
    # As Keras had it in 2017: epsilon outside the root, no bias correction.
    "rmsprop": partial(optax.rmsprop, decay=0.9, eps=1e-8, eps_in_sqrt=False),
}
OPTIMIZERS: dict[str, Optimizer] = {
    **ELEMENTWISE,
    "muon": _muon,
    "muon_convolutions": partial(_muon, muon_weight_dimension_numbers=_of_convolutions),
}
