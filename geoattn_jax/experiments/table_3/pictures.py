"""Paper B's classes after the fusion of all streams: which of them are taken for which."""

from pathlib import Path

from geoattn_jax.descriptors import confusion_matrix
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_3.experiment import FUSED, SixStreams
from geoattn_jax.figures import confusion_matrix as draw


def draw_confusions(experiment: SixStreams, fitting: Fitting) -> list[Path]:
    """Draws the first run's matrices, for each model and each combination of streams; returns their files."""
    class_names, drawn = experiment.source(fitting).class_names, []
    for (combination, level, model), scores in experiment.scores[experiment.seeds[0]].items():
        if level == FUSED:
            drawn.append(fitting.workdir / "figures" / f"confusion_{combination}_{model}.png")
            draw(drawn[-1], confusion_matrix(*scores), class_names)
    return drawn
