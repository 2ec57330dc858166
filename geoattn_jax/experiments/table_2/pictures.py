"""Paper B's figures from a run of supervised attention: where the networks look, and how they got there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from geoattn_jax.data.kitchen import CLASS_GROUPS
from geoattn_jax.data.levels import LEVELS
from geoattn_jax.experiments.attention.region_measures import corners_of
from geoattn_jax.experiments.attention.samples import Samples, pixels
from geoattn_jax.experiments.attention.task import FOLLOWED, AttentionTask
from geoattn_jax.experiments.attention.trainings import MODELS, AttentionLevel, run_folder
from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_2.experiment import SupervisedAttention
from geoattn_jax.figures import attended_regions, learning_curves, motion_window, region_outlines
from geoattn_jax.training import read_metrics

STAGES = 6  # of joint training that are shown


def draw_regions(experiment: SupervisedAttention, measured: object) -> list[Path]:
    """Draws all figures, from the first run of each model; returns their files."""
    del measured
    drawn, results = [], experiment.plan.results
    for level in experiment.levels.values():
        folder = level.fitting.workdir / "figures"
        count = level.frames.num_samples("test")
        batch = level.frames.evaluation("test", np.arange(min(results.evaluation_batch, count)))
        clip = int(np.isin(batch.labels, CLASS_GROUPS["texture"]).argmax())
        samples = jax.tree.map(lambda leaf, clip=clip: leaf[clip : clip + 1], batch)
        drawn += [_motion(folder, level, clip), *_joint_training(folder, level, results)]
        drawn += [_after_training(folder, level, results, samples), *_curves(folder, level, results)]
    return drawn


def _motion(folder: Path, level: AttentionLevel, clip: int) -> Path:
    """Equation 2: the motion map of a test clip, and the window that holds the most motion."""
    path = folder / f"{level.name}_motion.png"
    motion_window(path, *level.frames.motion("test", clip), LEVELS[level.name].window_hw)
    return path


def _joint_training(folder: Path, level: AttentionLevel, results: Config) -> list[Path]:
    """Figure 7: some validation frames' regions from the guided ones on, as the metrics recorded them."""
    drawn, run = [], _first_run(level, results)
    samples = level.frames.evaluation(
        "validation", np.arange(min(FOLLOWED, level.frames.num_samples("validation")))
    )
    for name in _first_models(level, results):
        model = MODELS[name]
        if not (model.guided and model.joint and model.region == "attended"):
            continue
        *_, guided = _recorded(run / f"guide_{model.mode}", len(samples.labels)).values()
        stages = _evenly({"guided": guided, **_recorded(run / name, len(samples.labels))})
        task = level.task(results.localizers[0], mode=model.mode, start=model.start)
        regions = {heading: _regions(task, samples, theta) for heading, theta in stages.items()}
        rows = {
            f"frame {number}": {heading: images[number] for heading, images in regions.items()}
            for number in range(len(samples.labels))
        }
        corners = {
            heading: np.asarray(corners_of(theta, task.model.crop_hw)[0]) for heading, theta in stages.items()
        }
        drawn += [folder / f"{level.name}_{name}_{kind}.png" for kind in ("training", "outlines")]
        attended_regions(drawn[-2], rows)
        region_outlines(drawn[-1], _crop(level, samples), corners)
    return drawn


def _after_training(folder: Path, level: AttentionLevel, results: Config, samples: Samples) -> Path:
    """Figure 8: a frame's region by every model (down) that all localizers (across) have."""
    rows = {}
    for name in _first_models(level, results):
        if not all(name in results.models[level.name][localizer] for localizer in results.localizers):
            continue
        rows[name] = {}
        for localizer in results.localizers:
            task, variables = level.trained(localizer, name, results.seed)
            theta = task.theta(variables, samples, MODELS[name].region)
            (rows[name][localizer],) = _regions(task, samples, theta)
    path = folder / f"{level.name}_attended.png"
    attended_regions(path, rows)
    return path


def _curves(folder: Path, level: AttentionLevel, results: Config) -> list[Path]:
    """The validation accuracy over joint training, with the first localizer."""
    curves = {}
    for name in _first_models(level, results):
        if MODELS[name].joint:
            rows = _evaluations(_first_run(level, results) / name)
            curves[name] = tuple(
                np.array([row[key] for row in rows]) for key in ("phase_step", "eval_accuracy")
            )
    if not curves:
        return []
    path = folder / f"{level.name}_accuracy.png"
    learning_curves(path, curves, ylabel="accuracy on the validation subject", title="Joint training")
    return [path]


def _first_models(level: AttentionLevel, results: Config) -> tuple[str, ...]:
    """Those trained with the first localizer."""
    return tuple(results.models[level.name][results.localizers[0]])


def _first_run(level: AttentionLevel, results: Config) -> Path:
    return level.fitting.workdir / run_folder(level.name, results.localizers[0], results.seed)


def _evaluations(run: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(run / "metrics.jsonl") if "eval_accuracy" in row]


def _recorded(run: Path, count: int) -> dict[str, Float[Array, "b 2 3"]]:
    """The theta of the followed frames at every evaluation."""
    places = [f"{number}_{row}{column}" for number in range(count) for row in range(2) for column in range(3)]
    thetas = {}
    for row in _evaluations(run):
        entries = [row[f"eval_theta_{place}"] for place in places]
        thetas[f"step {row['phase_step']}"] = jnp.array(entries, jnp.float32).reshape(count, 2, 3)
    return thetas


def _evenly(stages: Mapping[str, Float[Array, "b 2 3"]]) -> dict[str, Float[Array, "b 2 3"]]:
    """The first, the last and some between."""
    chosen = np.unique(np.linspace(0, len(stages) - 1, STAGES).round().astype(int))
    names = list(stages)
    return {names[place]: stages[names[place]] for place in chosen}


def _regions(
    task: AttentionTask, samples: Samples, theta: Float[Array, "b 2 3"]
) -> Float[np.ndarray, "b rh rw 3"]:
    regions = task.model.apply({}, samples.frames, samples.top_left, theta, method="attend")
    return np.asarray(pixels(regions))


def _crop(level: AttentionLevel, samples: Samples) -> Float[np.ndarray, "h w 3"]:
    """The first sample's crop."""
    (y, x), (height, width) = np.asarray(samples.top_left[0]), level.frames.level.crop_hw
    return np.asarray(pixels(samples.frames))[0, y : y + height, x : x + width]
