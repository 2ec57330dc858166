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
      part_bytes: how much of an intermediate result the sampler makes at once, see `in_parts`.
      tap_bytes: likewise of the taps of a deformable convolution that are taken at once.
      all_taps_at_once: whether a deformable convolution takes the taps of a part together, not one by one.
      reads_once: whether pixels are read once for all that is made of them, in the backward pass of a
        deformable convolution, and for samples and their gradient where one program computes both.
      takes_cells: whether the four pixels of a cell are looked up by one index, where that fills vectors, and
        added to likewise, see `lookups`.
      sums_first: whether the gradient in a position sums over channels before it weighs the pixels of a cell.
      reads_rows: whether what lies along the axes of an image, positions or a crop, is read row by row, not
        pixel by pixel.
      sums_batch_last: whether a kernel's gradient is summed over the batch once, at the end, even where there
        is one device and nothing to communicate.
      scatters_runs: whether a scatter adds to two neighbouring pixels of a row at each index, not to one.
      native: whether kernels in C++ do what they can, where there are any.
    """

    part_bytes: int
    tap_bytes: int
    all_taps_at_once: bool
    reads_once: bool
    takes_cells: bool
    sums_first: bool
    reads_rows: bool
    sums_batch_last: bool
    scatters_runs: bool
    native: bool = False

    def without_native(self) -> "Schedule":
        """The same by JAX alone."""
        return self._replace(native=False)


# What a part writes is still in the cache when it is read again. Reading again is cheaper than writing to
# memory what was read.
CPU = Schedule(
    part_bytes=4 * 2**20,
    tap_bytes=4 * 2**20,
    all_taps_at_once=False,
    reads_once=False,
    takes_cells=False,
    sums_first=False,
    reads_rows=False,
    sums_batch_last=False,
    scatters_runs=True,
    native=True,
)
# The cost of a gather is that of its indices, and single pixels are scattered at once, but longer runs by a
# loop over indices. What one tap makes, in vectors that are not full, still fits into the vector memory.
TPU = Schedule(
    part_bytes=256 * 2**20,
    tap_bytes=8 * 2**20,
    all_taps_at_once=False,
    reads_once=True,
    takes_cells=True,
    sums_first=True,
    reads_rows=True,
    sums_batch_last=True,
    scatters_runs=False,
)
# Every step is a launch, so let there be few, of large parts. A guess as yet: compiled, but not run.
GPU = Schedule(
    part_bytes=256 * 2**20,
    tap_bytes=2**30,
    all_taps_at_once=True,
    reads_once=False,
    takes_cells=False,
    sums_first=True,
    reads_rows=False,
    sums_batch_last=True,
    scatters_runs=False,
)


def by_platform(function: Callable[..., Result], *operands, known: Schedule | None = None) -> Result:
    """`function(schedule, *operands)` with the schedule of the platform that it is lowered for.

    Args:
      function: of a schedule and of arrays; it is traced once for each schedule.
      *operands: arrays, or trees of them.
      known: the schedule, inside of what has one already: there the function is traced for it alone.
    """
    if known is not None:
        return function(known, *operands)
    return lax.platform_dependent(
        *operands, cpu=partial(function, CPU), tpu=partial(function, TPU), default=partial(function, GPU)
    )
