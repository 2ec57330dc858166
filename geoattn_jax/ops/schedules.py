"""How the operations arrange their work on a platform, chosen when a program is lowered for it.

What is computed is the same everywhere. A program that is exported for several platforms holds the schedules
of all of them.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from jax import lax

Result = TypeVar("Result")


class Schedule(NamedTuple):
    """How work is arranged.

    Attributes:
      scatters_runs: whether a scatter adds to two neighbouring pixels of a row at each index, and not to one.
    """

    scatters_runs: bool


# Half as many indices, and vectors where there are few channels.
CPU = Schedule(scatters_runs=True)
# A TPU scatters single pixels at once, but longer runs by a loop over indices.
ACCELERATOR = Schedule(scatters_runs=False)


def by_platform(function: Callable[..., Result], *operands) -> Result:
    """`function(schedule, *operands)` with the schedule of the platform that it is lowered for.

    Args:
      function: of a schedule and of arrays; it is traced once for each schedule.
      *operands: arrays, or trees of them.
    """
    return lax.platform_dependent(
        *operands, cpu=partial(function, CPU), default=partial(function, ACCELERATOR)
    )
