"""Paper B's figures from a run of supervised attention: where the networks look, and how they got there."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from geoattn_jax.data.kitchen_scene import CLASS_GROUPS
from geoattn_jax.experiments.attention import corners_of
from geoattn_jax.experiments.fitting import Fitting
from geoattn_jax.experiments.guiding import FOLLOWED, AttentionTask
from geoattn_jax.experiments.kitchen_frames import KitchenFrames, Samples, pixels
from geoattn_jax.experiments.supervised_attention import MODELS, SupervisedAttention
from geoattn_jax.figures import attended_regions, learning_curves, region_outlines
from geoattn_jax.training import read_metrics

STAGES = 6  # of joint training that are shown


def draw_regions(experiment: SupervisedAttention, fitting: Fitting) -> list[Path]:
    """Draws all figures, from the first run of each model; returns their files."""
    folder, drawn = fitting.workdir / "figures", []
    for level in experiment.config.levels:
        frames = experiment.frames(level, fitting)
        drawn += _joint_training(folder, experiment, frames, fitting)
        drawn += _after_training(folder, experiment, frames, fitting)
        drawn += _curves(folder, experiment, frames, fitting)
    return drawn


def _joint_training(
    folder: Path, experiment: SupervisedAttention, frames: KitchenFrames, fitting: Fitting
) -> list[Path]:
    """Figure 7: some validation frames' regions from the guided ones on, as the metrics recorded them."""
    config, level, drawn = experiment.config, frames.level, []
    samples = next(frames.evaluation("validation", FOLLOWED))
    for name in config.models:
        model = MODELS[name]
        if not (model.guided and model.joint and model.region == "attended"):
            continue
        run = fitting.workdir / experiment.folder(frames, config.localizers[0], config.seed)
        *_, guided = _recorded(run / f"guide_{model.mode}", len(samples.labels)).values()
        stages = _evenly({"guided": guided, **_recorded(run / name, len(samples.labels))})
        task = experiment.task(frames, config.localizers[0], mode=model.mode, start=model.start)
        regions = {heading: _regions(task, samples, theta) for heading, theta in stages.items()}
        rows = {
            f"frame {number}": {heading: images[number] for heading, images in regions.items()}
            for number in range(len(samples.labels))
        }
        drawn += [folder / f"{level.name}_{name}_training.png", folder / f"{level.name}_{name}_outlines.png"]
        attended_regions(drawn[-2], rows)
        outlines = {
            heading: np.asarray(corners_of(theta, level.crop_hw)[0])
            for heading, theta in _evenly(stages).items()
        }
        region_outlines(drawn[-1], _crop(frames, samples), outlines)
    return drawn


def _after_training(
    folder: Path, experiment: SupervisedAttention, frames: KitchenFrames, fitting: Fitting
) -> list[Path]:
    """Figure 8: one test frame's region by every model (down) and localizer (across)."""
    config = experiment.config
    batch = next(frames.evaluation("test", config.evaluation_batch))
    textured = int(np.isin(batch.labels, CLASS_GROUPS["texture"]).argmax())
    samples = jax.tree.map(lambda leaf: leaf[textured : textured + 1], batch)
    rows = {}
    for name in config.models:
        rows[name] = {}
        for localizer in config.localizers:
            task, params = experiment.trained(frames, localizer, name, config.seed, fitting)
            theta = task.theta(params, samples, MODELS[name].region)
            (rows[name][localizer],) = _regions(task, samples, theta)
    path = folder / f"{frames.level.name}_attended.png"
    attended_regions(path, rows)
    return [path]


def _curves(
    folder: Path, experiment: SupervisedAttention, frames: KitchenFrames, fitting: Fitting
) -> list[Path]:
    """The validation accuracy over joint training, with the first localizer."""
    config, curves = experiment.config, {}
    for name in config.models:
        if MODELS[name].joint:
            run = fitting.workdir / experiment.folder(frames, config.localizers[0], config.seed)
            rows = [row for row in read_metrics(run / name / "metrics.jsonl") if "eval_accuracy" in row]
            steps, accuracies = zip(*((row["phase_step"], row["eval_accuracy"]) for row in rows), strict=True)
            curves[name] = np.array(steps), np.array(accuracies)
    if not curves:
        return []
    path = folder / f"{frames.level.name}_accuracy.png"
    learning_curves(path, curves, ylabel="accuracy on the validation subject", title="Joint training")
    return [path]


def _recorded(run: Path, count: int) -> dict[str, Float[np.ndarray, "b 2 3"]]:
    """The theta of the followed frames at every evaluation."""
    return {
        f"step {row['phase_step']}": np.array(
            [
                [[row[f"eval_theta_{number}_{i}{j}"] for j in range(3)] for i in range(2)]
                for number in range(count)
            ],
            np.float32,
        )
        for row in read_metrics(run / "metrics.jsonl")
        if "eval_accuracy" in row
    }


def _evenly(stages: Mapping[str, Float[np.ndarray, "b 2 3"]]) -> dict[str, Float[np.ndarray, "b 2 3"]]:
    """The first, the last and some between."""
    chosen = np.unique(np.linspace(0, len(stages) - 1, STAGES).round().astype(int))
    names = list(stages)
    return {names[place]: stages[names[place]] for place in chosen}


def _regions(
    task: AttentionTask, samples: Samples, theta: Float[np.ndarray, "b 2 3"]
) -> Float[np.ndarray, "b rh rw 3"]:
    regions = task.model.apply({}, samples.frames, samples.top_left, jnp.asarray(theta), method="attend")
    return np.asarray(pixels(regions))


def _crop(frames: KitchenFrames, samples: Samples) -> Float[np.ndarray, "h w 3"]:
    """The first sample's crop."""
    (y, x), (height, width) = np.asarray(samples.top_left[0]), frames.level.crop_hw
    return np.asarray(pixels(samples.frames))[0, y : y + height, x : x + width]
