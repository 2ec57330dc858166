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
      part_bytes: how much of an intermediate result is made at once, see `in_parts`.
      all_taps_at_once: whether a deformable convolution takes the taps of a part together, not one by one.
      reads_once: whether a backward pass reads the pixels once for all that it makes of them.
      reads_patches: whether the four pixels around a position are read as one where there are many channels.
      scatters_runs: whether a scatter adds to two neighbouring pixels of a row at each index, not to one.
    """

    part_bytes: int
    all_taps_at_once: bool
    reads_once: bool
    reads_patches: bool
    scatters_runs: bool


# What a part writes is still in the cache when it is read again. Reading again is cheaper than writing to
# memory what was read.
CPU = Schedule(
    part_bytes=4 * 2**20,
    all_taps_at_once=False,
    reads_once=False,
    reads_patches=False,
    scatters_runs=True,
)
# Few large steps, within a bound on temporary memory. A TPU scatters single pixels at once, but longer runs
# by a loop over indices.
ACCELERATOR = Schedule(
    part_bytes=256 * 2**20,
    all_taps_at_once=True,
    reads_once=True,
    reads_patches=True,
    scatters_runs=False,
)


def by_platform(function: Callable[..., Result], *operands) -> Result:
    """`function(schedule, *operands)` with the schedule of the platform that it is lowered for.

    Args:
      function: of a schedule and of arrays; it is traced once for each schedule.
      *operands: arrays, or trees of them.
    """
    return lax.platform_dependent(
        *operands, cpu=partial(function, CPU), default=partial(function, ACCELERATOR)
    )
