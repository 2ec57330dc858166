"""The test accuracy of the end-to-end experiment over the time that training took."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from geoattn_jax.experiments.core.combination import Combination, FinishedRun, combine_seeds
from geoattn_jax.experiments.digits.end_to_end import EndToEnd, cells
from geoattn_jax.figures import learning_curves
from geoattn_jax.files import write_text
from geoattn_jax.training import read_metrics


class Curve(NamedTuple):
    """The accuracy of a model after some minutes of training."""

    minutes: Float[np.ndarray, " n"]
    accuracy: Float[np.ndarray, " n"]


def draw_curves(experiment: EndToEnd, measured: object) -> list[Path]:
    """Draws the curves of a finished run; returns their file."""
    del measured
    results, workdir = experiment.plan.results, experiment.fitting.workdir
    path = workdir / "figures" / "accuracy.png"
    draw(path, read_curves(workdir, results.protocols, results.conditions))
    return [path]


def combine_with_curves(runs: Sequence[FinishedRun]) -> Combination:
    """The mean over the seeds; beside it every seed's curves, and a picture of their mean.

    Raises: CombineError as `combine_seeds` does; WorkdirError if a run's metrics are damaged.
    """
    combination = combine_seeds(runs)
    curves = {
        run.results.provenance["seed"]: read_curves(
            run.workdir, run.results.config["protocols"], run.results.config["conditions"]
        )
        for run in runs
    }
    return combination._replace(write_beside=partial(_write, curves))


def read_curves(workdir: Path, protocols: Sequence[str], conditions: Sequence[str]) -> dict[str, Curve]:
    """The curves of a finished run, by protocol, condition and model; the LSTM's begins where the CNN's ends.

    Raises: WorkdirError if the run's metrics are damaged.
    """
    curves = {}
    for protocol, condition in cells(protocols, conditions):
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


def mean_curves(runs: Sequence[dict[str, Curve]]) -> dict[str, Curve]:
    """The mean of the runs' curves, which were evaluated after the same steps."""
    return {
        name: Curve(*(np.mean(values, axis=0) for values in zip(*(run[name] for run in runs), strict=True)))
        for name in runs[0]
    }


def draw(path: Path, curves: dict[str, Curve]) -> None:
    """Draws curves into a PNG file."""
    percent = {name: (curve.minutes, 100 * curve.accuracy) for name, curve in curves.items()}
    learning_curves(path, percent, ylabel="accuracy on test videos (%)", xlabel="minutes of training")


def _write(curves: Mapping[int, dict[str, Curve]], output: Path) -> None:
    every_curve = [
        {"seed": seed, "curve": name, "minutes": curve.minutes.tolist(), "accuracy": curve.accuracy.tolist()}
        for seed, run in curves.items()
        for name, curve in run.items()
    ]
    text = json.dumps(every_curve, indent=1, allow_nan=False)
    write_text(output.with_name(f"{output.stem}_curves.json"), f"{text}\n")
    draw(output.with_name(f"{output.stem}_curves.png"), mean_curves(list(curves.values())))
