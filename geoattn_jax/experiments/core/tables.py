"""Rows laid out as tables, in Markdown."""

from collections.abc import Callable, Iterable, Sequence

from geoattn_jax.experiments.core.results import FRACTIONS, Row


def markdown(rows: Iterable[Row]) -> str:
    """The rows as tables, one per table, protocol, group and metric: conditions down, models across."""
    tables: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        tables.setdefault((row.table, row.protocol, row.group, row.metric), []).append(row)
    return "\n".join(
        layout(
            f"{table}: {metric}{unit(str(metric))}, {protocol}" + (f", {group}" if group else ""),
            part,
            down=condition_of,
            across=lambda row: row.model,
        )
        for (table, protocol, group, metric), part in tables.items()
    )


def layout(
    heading: str,
    rows: Sequence[Row],
    *,
    down: Callable[[Row], str],
    across: Callable[[Row], str],
    columns: Sequence[str] | None = None,
    explains: bool = True,
) -> str:
    """One table, whose cells hold mean ± standard deviation and, in brackets, the paper's number.

    Args:
      heading: above it.
      rows: its cells.
      down: the heading of the line that a cell stands in.
      across: likewise of the column.
      columns: the headings in order; by default as they come.
      explains: whether a sentence says what a cell holds.
    """
    columns = columns or list(dict.fromkeys(map(across, rows)))
    cells = {(down(row), across(row)): cell(row) for row in rows}
    lines = [f"### {heading}", "", *(_legend(rows) if explains else [])]
    lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys(map(down, rows)):
        found = [cells.get((name, column), "") for column in columns]
        lines.append(f"| {name} | " + " | ".join(found) + " |")
    return "\n".join([*lines, ""])


def condition_of(row: Row) -> str:
    """A row's condition and, where there are several, its network."""
    return f"{row.condition}, {row.network}" if row.network else row.condition


def unit(metric: str) -> str:
    """What stands behind the name of a metric."""
    return " (%)" if metric in FRACTIONS else ""


def cell(row: Row) -> str:
    """What a table shows of a row: mean ± standard deviation and, in brackets, the paper's number."""
    scale = 100 if row.metric in FRACTIONS else 1
    spread = f" ± {scale * row.std:.2f}" if row.n > 1 else ""
    paper = f" [{scale * row.paper:.2f}]" if row.paper is not None else ""
    return f"{scale * row.mean:.2f}{spread}{paper}"


def _legend(rows: Sequence[Row]) -> list[str]:
    """What the cells hold besides one number, if they do."""
    counts = list(dict.fromkeys(row.n for row in rows))
    sentences = []
    if counts != [1]:
        sentences.append(f"Mean ± standard deviation of {'/'.join(map(str, counts))} runs.")
    if any(row.paper is not None for row in rows):
        sentences.append("In brackets the paper's number.")
    return [" ".join(sentences), ""] if sentences else []
