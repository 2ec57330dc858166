"""How the rows of Table 3 are shown: levels down, streams and regions across, as the paper has it."""

from collections.abc import Sequence

from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.tables import layout, unit
from geoattn_jax.experiments.table_3.published import REGIONS


def tables(rows: Sequence[Row]) -> str:
    """Table 3, likewise for groups of classes, and the accuracies."""
    found: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        found.setdefault((row.metric, row.group), []).append(row)
    return "\n".join(_table(metric, group, part) for (metric, group), part in found.items())


def _table(metric: str, group: str | None, rows: Sequence[Row]) -> str:
    return layout(
        f"{rows[0].table}: {metric}{unit(metric)}" + (f", classes told by {group}" if group else ""),
        rows,
        down=lambda row: row.condition,
        across=lambda row: f"{row.protocol} {REGIONS[row.model]}",
    )
