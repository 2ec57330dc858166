"""The test accuracy of the end-to-end experiment over the time that training took."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.digits.end_to_end import EndToEnd, cells
from geoattn_jax.figures import learning_curves
from geoattn_jax.training import read_metrics


class Curve(NamedTuple):
    """The accuracy of a model after some minutes of training."""

    minutes: Float[np.ndarray, " n"]
    accuracy: Float[np.ndarray, " n"]


def draw_curves(experiment: EndToEnd, fitting: Fitting) -> list[Path]:
    """Draws the curves of a finished run; returns their file."""
    path = fitting.workdir / "figures" / "accuracy.png"
    draw(path, read_curves(fitting.workdir, experiment.config))
    return [path]


def read_curves(workdir: Path, config: Config) -> dict[str, Curve]:
    """The curves of a finished run, by protocol, condition and model; the LSTM's begins where the CNN's ends.

    Raises: WorkdirError if the run's metrics are damaged.
    """
    curves = {}
    for protocol, condition in cells(config):
        before = 0.0
        for model, stage in (("mean_pooling", "frames"), ("cnn_lstm", "clips")):
            rows = read_metrics(workdir / protocol / condition / stage / "metrics.jsonl")
            evaluated = [row for row in rows if "eval_accuracy" in row]
            curves[f"{protocol}, {condition}, {model}"] = Curve(
                minutes=np.array([(before + row["seconds"]) / 60 for row in evaluated]),
                accuracy=np.array([row["eval_accuracy"] for row in evaluated]),
            )
            before += rows[-1]["seconds"]
    return curves


def draw(path: Path, curves: dict[str, Curve]) -> None:
    """Draws curves into a PNG file."""
    percent = {name: (curve.minutes, 100 * curve.accuracy) for name, curve in curves.items()}
    learning_curves(path, percent, ylabel="accuracy on test videos (%)", xlabel="minutes of training")
