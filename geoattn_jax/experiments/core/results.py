"""`results.json`: the measured numbers beside the paper's, and the table made from them."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class Row:
    """One cell of a paper's table: a metric's mean and spread over runs, and what the paper printed.

    Attributes:
      table: the paper's table, such as "A1".
      model: such as "dcn_lstm".
      condition: such as "rotation".
      protocol: how training and test data were split, such as "interleaved".
      metric: such as "accuracy" (a fraction, not percent) or "loss".
      mean: over the runs.
      std: standard deviation over the runs, 0 for a single one.
      n: the number of runs.
      paper: the paper's number, None where it has none.

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

    def __post_init__(self):
        for field in ("table", "model", "condition", "protocol", "metric"):
            value = getattr(self, field)
            self._require(isinstance(value, str) and value != "", field, "a non-empty string")
        self._require_value("mean")
        if self.paper is not None:
            self._require_value("paper")
        self._require(_is_finite(self.std) and self.std >= 0, "std", "a finite number, at least 0")
        check_whole("Row", "n", self.n, minimum=1)

    @property
    def key(self) -> tuple[str, ...]:
        """What a table may hold only once."""
        return self.table, self.protocol, self.metric, self.condition, self.model

    def _require_value(self, field: str) -> None:
        value = getattr(self, field)
        if self.metric in FRACTIONS:
            self._require(_is_finite(value) and 0 <= value <= 1, field, "a fraction from 0 to 1, not percent")
        else:
            self._require(_is_finite(value), field, "a finite number")

    def _require(self, fits: bool, field: str, expected: str) -> None:
        if not fits:
            raise ValueError(f"Row: {field} must be {expected}, got {getattr(self, field)!r}")


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
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated or not keys:
            raise ValueError(
                f"Results: rows must be at least one, each cell once; occurring again: {repeated}"
            )


def markdown(rows: Iterable[Row]) -> str:
    """The rows as tables, one per table, protocol and metric: conditions down, models across.

    A cell holds mean ± standard deviation and, in brackets, the paper's number; fractions are in percent.
    """
    tables: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        tables.setdefault((row.table, row.protocol, row.metric), []).append(row)
    return "\n".join(_table(table) for table in tables.values())


def write_results(
    directory: Path, results: Results, *, tables: Callable[[Sequence[Row]], str] = markdown
) -> None:
    """Writes `results.json` and `table.md`, each at once.

    Args:
      directory: where to; it must exist.
      results: what to write; config and provenance anything that JSON can hold.
      tables: lays the rows out.
    """
    content = json.dumps(dataclasses.asdict(results), indent=1, allow_nan=False)
    write_text(directory / "results.json", f"{content}\n")
    write_text(directory / "table.md", tables(results.rows))


def read_results(path: Path) -> Results:
    """Reads and validates a `results.json`.

    Raises: WorkdirError naming the file and what is wrong with it.
    """
    try:
        content = json.loads(path.read_text())
        rows = [Row(**row) for row in content.pop("rows")]
        return Results(**content, rows=rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorkdirError(f"{path} cannot be read as results: {error}; train again, or repair it") from error


def _table(rows: Sequence[Row]) -> str:
    first = rows[0]
    unit = " (%)" if first.metric in FRACTIONS else ""
    models = list(dict.fromkeys(row.model for row in rows))
    conditions = list(dict.fromkeys(row.condition for row in rows))
    cells = {(row.condition, row.model): cell(row) for row in rows}
    lines = [
        f"### {first.table}: {first.metric}{unit}, {first.protocol}",
        "",
        *legend(rows),
        "| | " + " | ".join(models) + " |",
        "|---" * (len(models) + 1) + "|",
    ]
    for condition in conditions:
        found = [cells.get((condition, model), "") for model in models]
        lines.append(f"| {condition} | " + " | ".join(found) + " |")
    return "\n".join([*lines, ""])


def legend(rows: Sequence[Row]) -> list[str]:
    """What the cells hold besides one number, if they do."""
    counts = list(dict.fromkeys(row.n for row in rows))
    sentences = []
    if counts != [1]:
        sentences.append(f"Mean ± standard deviation of {'/'.join(map(str, counts))} runs.")
    if any(row.paper is not None for row in rows):
        sentences.append("In brackets the paper's number.")
    return [" ".join(sentences), ""] if sentences else []


def cell(row: Row) -> str:
    """What a table shows of a row: mean ± standard deviation and, in brackets, the paper's number."""
    scale = 100 if row.metric in FRACTIONS else 1
    spread = f" ± {scale * row.std:.2f}" if row.n > 1 else ""
    paper = f" [{scale * row.paper:.2f}]" if row.paper is not None else ""
    return f"{scale * row.mean:.2f}{spread}{paper}"


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
