"""How parameters learn in paper A's experiments, from the names in a config."""

import optax

from geoattn_jax.training.optimizers import OPTIMIZERS
from geoattn_jax.training.schedules import SCHEDULES

WARM_UP = 200  # steps, but not more than a tenth of the phase


def update_rule(
    optimizer: str, schedule: str, *, learning_rate: float, steps: int
) -> optax.GradientTransformation:
    """An optimizer with its learning rate.

    Args:
      optimizer: one of `OPTIMIZERS`.
      schedule: one of `SCHEDULES`.
      learning_rate: the highest.
      steps: of the phase.
    """
    return OPTIMIZERS[optimizer](SCHEDULES[schedule](learning_rate, steps, min(WARM_UP, steps // 10)))
