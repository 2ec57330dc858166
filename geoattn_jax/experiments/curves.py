"""The test accuracy of the end-to-end experiment over the time that training took."""

from pathlib import Path

import numpy as np

from geoattn_jax.experiments.end_to_end import EndToEnd
from geoattn_jax.experiments.fitting import Fitting
from geoattn_jax.figures import learning_curves
from geoattn_jax.training import read_metrics

Curve = tuple[np.ndarray, np.ndarray]  # minutes, accuracy


def draw_curves(experiment: EndToEnd, fitting: Fitting) -> list[Path]:
    """Draws the curves of a finished run; returns their file."""
    path, curves = fitting.workdir / "figures" / "accuracy.png", {}
    for protocol, condition in experiment.cells:
        found = accuracy_curves(fitting.workdir / protocol / condition)
        curves |= {f"{protocol}, {condition}: {name}": curve for name, curve in found.items()}
    learning_curves(path, curves, ylabel="accuracy on test videos", xlabel="minutes of training")
    return [path]


def accuracy_curves(folder: Path) -> dict[str, Curve]:
    """The accuracy of the mean over time, then, in the minutes after that, of the LSTM."""
    curves, before = {}, 0.0
    for name, stage in (("mean_pooling", "frames"), ("cnn_lstm", "clips")):
        rows = read_metrics(folder / stage / "metrics.jsonl")
        evaluated = [row for row in rows if "eval_accuracy" in row]
        minutes = [(before + row["seconds"]) / 60 for row in evaluated]
        curves[name] = np.array(minutes), np.array([row["eval_accuracy"] for row in evaluated])
        before += rows[-1]["seconds"]
    return curves
