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
    measures = {("", "mean_average_precision"): lambda scores: mean_average_precision(*scores)}
    for group, labels in class_groups.items():
        measures[f", {group}", "mean_average_precision"] = partial(_precision_of, list(labels))
    measures["", "accuracy"] = lambda scores: accuracy(*scores)
    for ((suffix, metric), measure), combination in itertools.product(measures.items(), COMBINATIONS):
        yield from _rows(combination, suffix, metric, measure, runs)


def _precision_of(labels: list[int], scores: Scores) -> float:
    return float(np.nanmean(average_precision(*scores)[labels]))


def _rows(
    combination: str,
    suffix: str,
    metric: str,
    measure: Callable[[Scores], float],
    runs: Sequence[Mapping[Cell, Scores]],
) -> Iterator[Row]:
    """A metric of all levels and models."""
    for cell in runs[0]:
        streams, level, model = cell
        if streams != combination:
            continue
        values = np.array([measure(run[cell]) for run in runs])
        is_table_3 = metric == "mean_average_precision" and not suffix
        yield Row(
            table="B3",
            model=model,
            condition=level,
            protocol=f"{combination}{suffix}",
            metric=metric,
            mean=float(values.mean()),
            std=float(values.std()),
            n=len(values),
            paper=printed_precision(combination, level, model) if is_table_3 else None,
        )
