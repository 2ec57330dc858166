"""One table of several runs: of those that differ in their seed alone, if the experiment has no other way."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geoattn_jax.experiments.core.results import Results, Row


class CombineError(ValueError):
    """Runs that do not belong to one table."""


class FinishedRun(NamedTuple):
    """A run's folder and what it came to."""

    workdir: Path
    results: Results


class Combination(NamedTuple):
    """Several runs as one.

    Attributes:
      results: the table.
      write_beside: writes what there is besides, next to the JSON file of the results.
    """

    results: Results
    write_beside: Callable[[Path], None] = lambda output: None


def combine_seeds(runs: Sequence[FinishedRun]) -> Combination:
    """The mean and the standard deviation of every cell over the runs, each of which counts once.

    Raises: CombineError if two runs have the same seed, or differ in anything else.
    """
    results = [run.results for run in runs]
    first, seeds = results[0], [one.provenance["seed"] for one in results]
    if len(set(seeds)) < len(seeds):
        raise CombineError(f"the runs must have different seeds, got {seeds}")
    for one in results[1:]:
        of_both = f"the runs of seeds {seeds[0]} and {one.provenance['seed']}"
        check_same(of_both, first, one, without={"seed": None})
    seconds = float(np.mean([one.provenance["wall_seconds"] for one in results]))
    provenance = {**first.provenance, "seed": seeds, "wall_seconds": round(seconds, 1)}
    rows = mean_rows([one.rows for one in results])
    return Combination(Results(first.experiment, {**first.config, "seed": seeds}, provenance, rows))


def check_same(of_both: str, one: Results, other: Results, *, without: Mapping[str, Any]) -> None:
    """Checks that two runs differ in nothing else.

    Args:
      of_both: what messages call them.
      one, other: the runs.
      without: replaces those parts of both configs in which they may differ.

    Raises: CombineError.
    """
    for what, before, now in (
        ("experiment", one.experiment, other.experiment),
        ("config", {**one.config, **without}, {**other.config, **without}),
        ("commit", one.provenance["commit"], other.provenance["commit"]),
    ):
        if before != now:
            raise CombineError(f"{of_both} must have the same {what}, got {before} and {now}")


def mean_rows(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Every cell's mean and standard deviation over the runs."""
    return [cells[0].over([row.mean for row in cells]) for cells in zip(*runs, strict=True)]
