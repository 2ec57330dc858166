"""Learning rates over a phase, by the names that configs give them."""

from collections.abc import Callable

import optax

# (highest rate, updates, updates of warm-up) -> optax's learning rate: a number, or a function of the update.
Schedule = Callable[[float, int, int], optax.ScalarOrSchedule]

DROPS = (0.5, 0.75)  # of a phase's updates, after which "step" divides the rate by ten


def constant(highest: float, updates: int, warm_up: int) -> float:
    """The highest rate throughout."""
    del updates, warm_up
    return highest


def cosine(highest: float, updates: int, warm_up: int) -> optax.Schedule:
    """Rises from zero during the warm-up and falls to zero as half a cosine (Loshchilov & Hutter 2017)."""
    return optax.warmup_cosine_decay_schedule(0.0, highest, warm_up, updates)


def step(highest: float, updates: int, warm_up: int) -> optax.Schedule:
    """Rises from zero during the warm-up and is divided by ten at each of `DROPS`, as in He et al. 2016."""
    drops = {round(share * updates) - warm_up: 0.1 for share in DROPS}
    return optax.join_schedules(
        [optax.linear_schedule(0.0, highest, warm_up), optax.piecewise_constant_schedule(highest, drops)],
        [warm_up],
    )


# A new one is one more entry.
SCHEDULES: dict[str, Schedule] = {"cosine": cosine, "constant": constant, "step": step}
