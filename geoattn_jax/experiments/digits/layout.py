"""How the rows of Table 1 are shown: where a run has both protocols of one training, these side by side."""

from collections.abc import Sequence

from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.tables import layout, markdown, unit

EXPLANATION = """\
- same_frames: on the training frames, as the authors' released program does.
- interleaved: the same LSTMs on unseen frames between; the stricter reading.
- Both: which of 100 known videos? New ones: `--config.protocol=new_motion`.
"""


def tables(rows: Sequence[Row]) -> str:
    """The pretraining, then losses and accuracies: conditions down and models across, or protocols across."""
    videos = [row for row in rows if row.table == "A1"]
    if len({row.protocol for row in videos}) < 2:
        return markdown(rows)
    texts = [markdown([row for row in rows if row.table != "A1"]), EXPLANATION]
    conditions = list(dict.fromkeys(row.condition for row in videos))
    for metric in dict.fromkeys(row.metric for row in videos):
        shown = layout(
            f"A1: {metric}{unit(metric)}",
            sorted(
                (row for row in videos if row.metric == metric),
                key=lambda row: conditions.index(row.condition),
            ),
            down=lambda row: f"{row.condition}, {row.model}",
            across=lambda row: row.protocol,
        )
        texts.append(shown)
    return "\n".join(texts)
