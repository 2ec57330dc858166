"""How the rows of Table 2 are shown: accuracies by level and network, then what the claims need besides."""

from collections.abc import Sequence

from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.tables import condition_of, layout, markdown, unit
from geoattn_jax.experiments.table_2.numbers import ACCURACY, Measure

# What the paper's claims need beside the accuracy, by the heading of its column.
MEASURES = {
    "accuracy": ACCURACY,
    "on texture": Measure("unseen_subjects", "accuracy", "texture"),
    "from θ alone, on texture": Measure("from_theta_alone", "accuracy", "texture"),
    "panel visible": Measure("unseen_subjects", "panel_visible"),
    "to the hand, px": Measure("unseen_subjects", "hand_distance"),
    "to R_h, px": Measure("unseen_subjects", "centre_distance"),
    "scale": Measure("unseen_subjects", "scale"),
    "samples outside": Measure("unseen_subjects", "samples_outside"),
}
HEADINGS = {measure: f"{name}{unit(measure.metric)}" for name, measure in MEASURES.items()}


def tables(rows: Sequence[Row]) -> str:
    """Table 2, and for each condition with further models what all its models come to, models down."""
    accuracies = [row for row in rows if measure_of(row) == ACCURACY]
    conditions = list(dict.fromkeys(map(condition_of, accuracies)))
    models = {name: {row.model for row in accuracies if condition_of(row) == name} for name in conditions}
    everywhere = set.intersection(*models.values())
    texts = [markdown([row for row in accuracies if row.model in everywhere])]
    for condition in conditions:
        if models[condition] != everywhere or len(conditions) == 1:
            texts.append(_measures(condition, [row for row in rows if condition_of(row) == condition]))
    return "\n".join(texts)


def measure_of(row: Row) -> Measure:
    """What a row's numbers are."""
    return Measure(row.protocol, row.metric, row.group)


def _measures(condition: str, rows: Sequence[Row]) -> str:
    return layout(
        f"{rows[0].table}: {condition}",
        [row for row in rows if measure_of(row) in HEADINGS],
        down=lambda row: row.model,
        across=lambda row: HEADINGS[measure_of(row)],
        columns=list(HEADINGS.values()),
        explains=False,
    )
