"""The numbers that Liu, Wang & Kato 2019 print, and the measured ones arranged beside them."""

from collections.abc import Sequence

from geoattn_jax.experiments.core.results import FRACTIONS, Row, cell, markdown

# Table 2: one-vs-all accuracy of one random frame per video, by level and localization network: plain STN,
# and SSTN.
TABLE_2 = {
    ("detail", "vgg_f"): (0.1067, 0.2991),
    ("detail", "vgg_m"): (0.0797, 0.3109),
    ("detail", "vgg_16"): (0.0639, 0.3232),
    ("middle", "vgg_f"): (0.2553, 0.2868),
    ("middle", "vgg_m"): (0.2868, 0.2991),
    ("middle", "vgg_16"): (0.2838, 0.3064),
    ("general", "vgg_f"): (0.2902, 0.2941),
    ("general", "vgg_m"): (0.2395, 0.2946),
    ("general", "vgg_16"): (0.2910, 0.3010),
}
STANDS_FOR = {"small": "vgg_f", "medium": "vgg_m", "large": "vgg_16"}  # at KitchenMini's sizes
COLUMNS = ("stn_default", "sstn")  # the paper does not say how its STN's last layer starts
ACCURACY = ("unseen_subjects", "accuracy")

# What the paper's claims need beside the accuracy, by protocol and metric.
MEASURES = {
    "accuracy": ACCURACY,
    "on texture": ("unseen_subjects, texture", "accuracy"),
    "from θ alone, on texture": ("from_theta_alone, texture", "accuracy"),
    "panel visible": ("unseen_subjects", "panel_visible"),
    "to the hand, px": ("unseen_subjects", "hand_distance"),
    "to R_h, px": ("unseen_subjects", "centre_distance"),
    "scale": ("unseen_subjects", "scale"),
    "samples outside": ("unseen_subjects", "samples_outside"),
}


def printed(level: str, localizer: str, model: str) -> float | None:
    """The accuracy that Table 2 prints for a cell, None where it has none."""
    numbers = TABLE_2.get((level, STANDS_FOR.get(localizer, localizer)))
    return numbers[COLUMNS.index(model)] if numbers and model in COLUMNS else None


def tables(rows: Sequence[Row]) -> str:
    """Table 2, and for each condition with further models what all its models come to, models down."""
    accuracies = [row for row in rows if (row.protocol, row.metric) == ACCURACY]
    conditions = list(dict.fromkeys(row.condition for row in accuracies))
    models = {name: {row.model for row in accuracies if row.condition == name} for name in conditions}
    everywhere = set.intersection(*models.values())
    texts = [markdown([row for row in accuracies if row.model in everywhere])]
    for condition in conditions:
        if models[condition] != everywhere or len(conditions) == 1:
            texts.append(_measures(condition, [row for row in rows if row.condition == condition]))
    return "\n".join(texts)


def _measures(condition: str, rows: Sequence[Row]) -> str:
    cells = {(row.model, row.protocol, row.metric): cell(row) for row in rows}
    headings = [f"{name} (%)" if metric in FRACTIONS else name for name, (_, metric) in MEASURES.items()]
    lines = [
        f"### {rows[0].table}: {condition}",
        "",
        "| | " + " | ".join(headings) + " |",
        "|---" * (len(headings) + 1) + "|",
    ]
    for model in dict.fromkeys(row.model for row in rows):
        found = [cells.get((model, *measure), "") for measure in MEASURES.values()]
        lines.append(f"| {model} | " + " | ".join(found) + " |")
    return "\n".join([*lines, ""])
