"""The paper's figures from a run of the two-stage experiment."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from geoattn_jax.data.moving_digits import draw_scenes, render
from geoattn_jax.experiments.digits.two_stage import TwoStage
from geoattn_jax.figures import elastic, learning_curves, sample_sequences, sampling_points, transformer_pairs
from geoattn_jax.training import read_metrics

VIDEO = np.array([0], np.int32)  # the test video that is shown
BORDER = 4  # pixels: closer to it no background is taken, so that its mark is seen in whole
# The layers whose positions are shown: the last deformable one of each network that has any.
DEFORMABLE = {"dcn": "offset2", "deform": "conv2"}


def draw_pictures(experiment: TwoStage, measured: object) -> list[Path]:
    """Draws all figures that the config's models and conditions allow; returns their files."""
    del measured
    folder, results = experiment.fitting.workdir / "figures", experiment.plan.results
    drawn = [_sequences(folder, experiment), *_curves(folder, experiment)]
    if "elastic" in results.conditions:
        drawn.append(_elastic(folder, experiment))
    for name in results.models:
        if name == "stn":
            drawn.append(_transformer(folder, experiment))
        elif name in DEFORMABLE:
            drawn.append(_positions(folder, experiment, name))
    return drawn


def _sequences(folder: Path, experiment: TwoStage) -> Path:
    path = folder / "sequences.png"
    sample_sequences(path, {name: _frames(experiment, name) for name in experiment.plan.results.conditions})
    return path


def _frames(experiment: TwoStage, condition: str) -> Float[np.ndarray, "t h w"]:
    return np.asarray(experiment.render(condition, "test", VIDEO).frames[0, ..., 0])


def _curves(folder: Path, experiment: TwoStage) -> list[Path]:
    """The models' curves: of the pretraining, and of the LSTM under each condition."""

    def curves(training: str, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        names, workdir = experiment.plan.results.models, experiment.fitting.workdir
        return {name: _curve(workdir / name / training / "metrics.jsonl", metric) for name in names}

    paths = [folder / "pretraining.png"]
    learning_curves(
        paths[0], curves("pretrain", "eval_accuracy"), ylabel="accuracy on unseen digits", title="Pretraining"
    )
    for condition in experiment.plan.results.conditions:
        paths.append(folder / f"lstm_{condition}.png")
        learning_curves(
            paths[-1],
            curves(f"{condition}/lstm", "mean_loss"),
            ylabel="training cross-entropy, mean over rounds",
            xlabel="update",
            title=f"LSTM, {condition}",
        )
    return paths


def _curve(path: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [row for row in read_metrics(path) if metric in row]
    return np.array([row["phase_step"] for row in rows]), np.array([row[metric] for row in rows])


def _elastic(folder: Path, experiment: TwoStage) -> Path:
    path, video = folder / "elastic.png", experiment.videos("elastic", "test")
    scene = draw_scenes(
        video, experiment.digits.by_split[video.digits_split], experiment.plan.results.seed, VIDEO
    )
    deformed, original = (
        np.asarray(render(shown, video.frame_size)[0, 0, ..., 0])
        for shown in (scene, scene._replace(field=None))
    )
    elastic(path, original, np.asarray(scene.field[0, 0]), deformed)
    return path


def _transformer(folder: Path, experiment: TwoStage) -> Path:
    path, params = folder / "transformer.png", experiment.pretrained("stn")
    inputs = {name: _frames(experiment, name)[0] for name in experiment.plan.results.conditions}
    images = jnp.stack(list(inputs.values()))[..., None] - experiment.digits.mean
    cnn = experiment.task("stn").cnn
    regions, _ = cnn.apply({"params": params["cnn"]}, images, method="transform")
    outputs = np.asarray(regions)[..., 0] + np.float32(experiment.digits.mean)
    transformer_pairs(path, inputs, dict(zip(inputs, outputs, strict=True)))
    return path


def _positions(folder: Path, experiment: TwoStage, name: str) -> Path:
    """Where the last deformable layer reads, from the middle of the two digits and from the background."""
    path, params = folder / f"{name}_positions.png", experiment.pretrained(name)
    condition = experiment.plan.results.conditions[-1]
    video = experiment.videos(condition, "test")
    scene = draw_scenes(
        video, experiment.digits.by_split[video.digits_split], experiment.plan.results.seed, VIDEO
    )
    frame = _frames(experiment, condition)[0]
    offsets = _offsets(experiment, name, params, frame)
    inner = frame[BORDER:-BORDER, BORDER:-BORDER]
    background = BORDER + np.array(np.unravel_index(inner.argmin(), inner.shape))
    centres = np.array([*np.round(scene.centre[0, :, 0, 0]), background]).astype(int)
    reads = centres[:, None] + offsets[tuple(centres.T)]
    sampling_points(path, frame, centres, reads)
    return path


def _offsets(
    experiment: TwoStage, name: str, params: dict, frame: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w k 2"]:
    """What each pixel of the layer adds to its own position, once for each channel or tap."""
    cnn, layer = experiment.task(name).cnn, DEFORMABLE[name]
    image = jnp.asarray(frame)[None, ..., None] - experiment.digits.mean
    _, state = cnn.apply({"params": params["cnn"]}, image, method="features", mutable=["intermediates"])
    (offsets,) = state["intermediates"][layer]["offsets"]
    if name == "dcn":
        return np.asarray(offsets[0])
    size, _, _, _ = params["cnn"][layer]["kernel"].shape
    taps = np.stack(np.mgrid[:size, :size], axis=-1).reshape(-1, 2) - size // 2
    return np.asarray(offsets[0, :, :, 0]) + taps
