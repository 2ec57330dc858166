"""`results.json`: the measured numbers beside the paper's, and the table beside it."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from geoattn_jax.files import write_text
from geoattn_jax.training.checks import check_whole
from geoattn_jax.training.workdir import WorkdirError

# Metrics between 0 and 1, shown in percent.
FRACTIONS = (
    "accuracy",
    "mean_average_precision",
    "pooled_mean_average_precision",
    "samples_outside",
    "panel_visible",
)
OPTIONAL = ("group", "network", "values")  # left out of the file where they are None


Values = Sequence[float] | Float[np.ndarray, " runs"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One cell of a paper's table: a metric's mean and spread over runs, and what the paper printed.

    Attributes:
      table: the paper's table, such as "A1".
      model: such as "dcn_lstm".
      condition: such as "rotation", or the level, such as "detail".
      protocol: how training and test data were split, such as "interleaved".
      metric: such as "accuracy" (a fraction, not percent) or "loss".
      mean: over the runs.
      std: standard deviation over the runs, 0 for a single one.
      n: the number of runs.
      paper: the paper's number, None where it has none.
      group: the classes that were counted, such as "texture"; None for all.
      network: the size or name of the network, where a table has several of one model.
      values: of the single runs; None in files of earlier versions.

    Raises: ValueError naming the field.
    """

    table: str
    model: str
    condition: str
    protocol: str
    metric: str
    mean: float
    std: float
    n: int
    paper: float | None = None
    group: str | None = None
    network: str | None = None
    values: tuple[float, ...] | None = None

    @classmethod
    def of_runs(
        cls, values: Values, *, table: str, model: str, condition: str, protocol: str, metric: str,
        group: str | None = None, network: str | None = None, paper: float | None = None,
    ) -> "Row":  # fmt: skip
        """The cell of some runs: what is told of their values is decided here."""
        runs = np.asarray(values, np.float64)
        return cls(
            table, model, condition, protocol, metric, float(runs.mean()), float(runs.std()), len(runs),
            paper, group, network, tuple(runs.tolist()),
        )  # fmt: skip

    def __post_init__(self):
        for field in ("table", "model", "condition", "protocol", "metric"):
            value = getattr(self, field)
            self._require(isinstance(value, str) and value != "", field, "a non-empty string")
        for field in ("group", "network"):
            value = getattr(self, field)
            fits = value is None or (isinstance(value, str) and value != "")
            self._require(fits, field, "a non-empty string or None")
        self._require_value("mean")
        if self.paper is not None:
            self._require_value("paper")
        self._require(_is_finite(self.std) and self.std >= 0, "std", "a finite number, at least 0")
        check_whole("Row", "n", self.n, minimum=1)
        if self.values is not None:
            fits = len(self.values) == self.n and all(map(_is_finite, self.values))
            self._require(fits, "values", f"{self.n} finite numbers, one for each of the n runs")

    @property
    def key(self) -> tuple[str | None, ...]:
        """What a table may hold only once."""
        return (
            self.table, self.protocol, self.group, self.metric, self.condition, self.network, self.model
        )  # fmt: skip

    def over(self, values: Values) -> "Row":
        """The same cell, of other runs."""
        kept = {name: getattr(self, name) for name in _IDENTITY}
        return Row.of_runs(values, **kept)

    def _require_value(self, field: str) -> None:
        value = getattr(self, field)
        if self.metric in FRACTIONS:
            self._require(_is_finite(value) and 0 <= value <= 1, field, "a fraction from 0 to 1, not percent")
        else:
            self._require(_is_finite(value), field, "a finite number")

    def _require(self, fits: bool, field: str, expected: str) -> None:
        if not fits:
            raise ValueError(f"Row: {field} must be {expected}, got {getattr(self, field)!r}")


_IDENTITY = ("table", "model", "condition", "protocol", "metric", "group", "network", "paper")


@dataclasses.dataclass(frozen=True)
class Results:
    """An experiment's rows and where they come from.

    Raises: ValueError if a cell occurs twice or there is none.
    """

    experiment: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    rows: Sequence[Row]

    def __post_init__(self):
        keys = [row.key for row in self.rows]
        repeated = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
        if repeated or not keys:
            raise ValueError(
                f"Results: rows must be at least one, each cell once; occurring again: {repeated}"
            )


def write_results(directory: Path, results: Results, *, tables: Callable[[Sequence[Row]], str]) -> None:
    """Writes `results.json` and `table.md`, each at once.

    Args:
      directory: where to; it must exist.
      results: what to write; config and provenance anything that JSON can hold.
      tables: lays the rows out.
    """
    write_text(directory / "results.json", as_json(results))
    write_text(directory / "table.md", tables(results.rows))


def read_results(path: Path) -> Results:
    """Reads and validates a `results.json`.

    Raises: WorkdirError naming the file and what is wrong with it.
    """
    try:
        content = json.loads(path.read_text())
        rows = [_row(row) for row in content.pop("rows")]
        return Results(**content, rows=rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorkdirError(f"{path} cannot be read as results: {error}; train again, or repair it") from error


def as_json(results: Results) -> str:
    """The text of a `results.json`."""
    content = dataclasses.asdict(results)
    content["rows"] = [
        {name: value for name, value in row.items() if value is not None or name not in OPTIONAL}
        for row in content["rows"]
    ]
    return f"{json.dumps(content, indent=1, allow_nan=False)}\n"


def _row(fields: dict[str, Any]) -> Row:
    """A row of a file. Earlier versions kept a group and a network in one string with what they belong to.

    They also had other names for a metric and for a size of network.
    """
    for name, beside in (("protocol", "group"), ("condition", "network")):
        before, comma, after = fields[name].partition(", ")
        if comma:
            fields |= {name: before, beside: after}
    if fields.get("network") == "middle":
        fields["network"] = "medium"
    if fields["metric"] == "theta_error":
        fields["metric"] = "centre_distance"
    if fields.get("values") is not None:
        fields["values"] = tuple(fields["values"])
    return Row(**fields)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
