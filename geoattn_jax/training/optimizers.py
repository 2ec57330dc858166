"""Optimizers by the names that configs give them, each made from a learning rate or its schedule."""

from collections.abc import Callable
from functools import partial

import jax
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

# These update every number by itself: trainings that lie side by side in one array stay independent.
ELEMENTWISE: dict[str, Optimizer] = {
    # As Keras had it in 2017.
    "adadelta": partial(optax.adadelta, rho=0.95, eps=1e-8),
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
