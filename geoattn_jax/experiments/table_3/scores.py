"""What the scores of the test clips come to: Table 3's cells, those of groups of classes, and accuracies."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.data.flow import Stream
from geoattn_jax.descriptors import accuracy, average_precision, mean_average_precision
from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.table_3.published import printed_precision

# The table's columns: which streams' descriptors a level's classifier gets.
COMBINATIONS: dict[str, tuple[Stream, ...]] = {
    "spatial": ("rgb",),
    "temporal": ("flow",),
    "spatial_temporal": ("rgb", "flow"),
}
FUSED = "late_fusion"


class Scores(NamedTuple):
    """Of the test clips.

    Attributes:
      values: for each class.
      labels: their classes.
    """

    values: Float[np.ndarray, "n classes"]
    labels: Int[np.ndarray, " n"]


Cell = tuple[str, str, str]  # combination of streams, level or FUSED, model
RunScores = dict[Cell, Scores]


def rows_of(
    class_groups: Mapping[str, Sequence[int]], runs: Sequence[Mapping[Cell, Scores]]
) -> Iterator[Row]:
    """From the scores of all runs: Table 3's cells, those of groups of classes, and accuracies."""
    measures = {("mean_average_precision", None): lambda scores: mean_average_precision(*scores)}
    for group, labels in class_groups.items():
        measures["mean_average_precision", group] = partial(_precision_of, list(labels))
    measures["accuracy", None] = lambda scores: accuracy(*scores)
    for ((metric, group), measure), combination in itertools.product(measures.items(), COMBINATIONS):
        yield from _rows(combination, group, metric, measure, runs)


def _precision_of(labels: list[int], scores: Scores) -> float:
    return float(np.nanmean(average_precision(*scores)[labels]))


def _rows(
    combination: str,
    group: str | None,
    metric: str,
    measure: Callable[[Scores], float],
    runs: Sequence[Mapping[Cell, Scores]],
) -> Iterator[Row]:
    """A metric of all levels and models."""
    for cell in runs[0]:
        streams, level, model = cell
        if streams != combination:
            continue
        is_table_3 = metric == "mean_average_precision" and group is None
        yield Row.of_runs(
            [measure(run[cell]) for run in runs],
            table="B3",
            model=model,
            condition=level,
            protocol=combination,
            group=group,
            metric=metric,
            paper=printed_precision(combination, level, model) if is_table_3 else None,
        )
