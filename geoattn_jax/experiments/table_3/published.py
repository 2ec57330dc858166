"""What Liu, Wang & Kato 2019 print of six streams, Table 3, and the measured numbers arranged beside it."""

from collections.abc import Sequence

from geoattn_jax.experiments.core.results import Row, cell, legend

# Mean average precision of all frames of a clip, by streams and level: R_d and R_h.
TABLE_3 = {
    ("spatial", "general"): (0.4173, 0.3898),
    ("spatial", "middle"): (0.5092, 0.5053),
    ("spatial", "detail"): (0.5275, 0.5140),
    ("spatial", "late_fusion"): (0.5608, 0.5506),
    ("temporal", "general"): (0.5478, 0.5418),
    ("temporal", "middle"): (0.5623, 0.5287),
    ("temporal", "detail"): (0.5907, 0.4918),
    ("temporal", "late_fusion"): (0.6083, 0.5738),
    ("spatial_temporal", "general"): (0.5651, 0.5668),
    ("spatial_temporal", "middle"): (0.6102, 0.5896),
    ("spatial_temporal", "detail"): (0.6201, 0.5827),
    ("spatial_temporal", "late_fusion"): (0.6316, 0.6009),
}
REGIONS = {"sstn": "R_d", "hard_coded": "R_h"}


def printed_precision(streams: str, level: str, model: str) -> float:
    """The mean average precision that Table 3 prints for a cell."""
    return TABLE_3[streams, level][list(REGIONS).index(model)]


def tables(rows: Sequence[Row]) -> str:
    """Table 3 as the paper lays it out, likewise for groups of classes, and the accuracies."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        _, _, group = row.protocol.partition(", ")
        found.setdefault((row.metric, group), []).append(row)
    return "\n".join(_table(metric, group, part) for (metric, group), part in found.items())


def _table(metric: str, group: str, rows: Sequence[Row]) -> str:
    heading = f"### {rows[0].table}: {metric} (%)" + (f", classes told by {group}" if group else "")
    columns = list(dict.fromkeys((row.protocol, row.model) for row in rows))
    cells = {(row.condition, row.protocol, row.model): cell(row) for row in rows}
    names = (f"{protocol.partition(', ')[0]} {REGIONS[model]}" for protocol, model in columns)
    lines = [
        heading,
        "",
        *legend(rows),
        "| | " + " | ".join(names) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for level in dict.fromkeys(row.condition for row in rows):
        lines.append(f"| {level} | " + " | ".join(cells[level, *column] for column in columns) + " |")
    return "\n".join([*lines, ""])
