"""Paper B's classes after the fusion of all streams: which of them are taken for which."""

from collections.abc import Mapping
from pathlib import Path

from geoattn_jax.descriptors import confusion_matrix
from geoattn_jax.experiments.table_3.experiment import SixStreams
from geoattn_jax.experiments.table_3.scores import FUSED, RunScores
from geoattn_jax.figures import confusion_matrix as draw


def draw_confusions(experiment: SixStreams, measured: Mapping[int, RunScores]) -> list[Path]:
    """Draws the first run's matrices, for each model and each combination of streams; returns their files."""
    folder, drawn = experiment.fitting.workdir / "figures", []
    for (combination, level, model), scores in measured[experiment.plan.results.seed].items():
        if level == FUSED:
            drawn.append(folder / f"confusion_{combination}_{model}.png")
            draw(drawn[-1], confusion_matrix(*scores), experiment.source.class_names)
    return drawn
