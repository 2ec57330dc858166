"""The end-to-end experiment on a few frames: frozen where it says so, resumed to the bit, combined."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import experiments_runs as runs
import experiments_tiny as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.experiments import combine, run
from geoattn_jax.experiments.core.combination import CombineError, FinishedRun, combine_seeds
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Results, Row, read_results
from geoattn_jax.experiments.digits import endless_videos
from geoattn_jax.experiments.digits.curves import read_curves
from geoattn_jax.experiments.digits.end_to_end import EndToEnd
from geoattn_jax.training import devices, loop, trained_steps

MODELS = ("lenet_lstm", "mean_pooling", "cnn_lstm")
CELL = ("new_digits", "rotation_scaling")


def config(**overrides):
    return tiny.tiny_config("end_to_end", **{"digits": "sklearn", "protocols": ("new_digits",)} | overrides)


def experiment(folder):
    """What evaluation makes of a folder."""
    return EndToEnd.prepare(config(), Fitting(config(), folder, trains=False))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run.train_and_evaluate(config(), folder)
    return folder


def test_every_cell_is_there(finished):
    results = read_results(finished / "results.json")
    cells = [(row.protocol, row.condition, row.model) for row in results.rows]
    assert cells == [(*CELL, model) for model in MODELS]
    for row in results.rows:
        assert (row.table, row.metric, row.paper) == ("A2", "accuracy", None)
        assert row.n == (3 if row.model == "lenet_lstm" else 1)
    assert (finished / "figures" / "accuracy.png").exists()


def test_the_trainings_are_those_that_evaluation_asks_for(finished):
    found = [path.parent for path in finished.rglob("checkpoints")]
    steps = {str(folder.relative_to(finished)): trained_steps(folder) for folder in found}
    assert experiment(finished).plan.training_steps() == steps


def test_the_curves_go_on_from_the_cnn_to_the_lstm(finished):
    curves = read_curves(finished, config().protocols, config().conditions)
    assert list(curves) == [f"new_digits, rotation_scaling, {model}" for model in MODELS[1:]]
    assert [curve.accuracy.shape for curve in curves.values()] == [(2,), (2,)]
    minutes = np.concatenate([curve.minutes for curve in curves.values()])
    assert (np.diff(minutes) >= 0).all()


def changed(before, after):
    """Which of the labels have changed parameters."""
    differs = jax.tree.map(lambda one, other: bool((one != other).any()), before, after)
    return {label for label, tree in differs.items() if any(jax.tree.leaves(tree))}


def test_the_lstm_learns_in_the_second_phase_only(finished):
    start, _ = experiment(finished).task(*CELL).initial()
    frames, clips = trained(finished)
    assert changed(start, frames.params) == {"cnn"}
    assert changed(frames.params, clips.params) == {"cnn", "lstm", "fc"}
    assert changed(frames.model_state["batch_stats"], clips.model_state["batch_stats"]) == {"cnn"}


def test_frames_are_of_different_videos_and_clips_show_every_setting_once():
    settings = config(video__settings=3, video__frames_per_setting=2)
    task = EndToEnd.prepare(settings, Fitting(settings, Path("nowhere"), trains=True)).task(*CELL)
    curve, rule = {"curve_videos": 1, "evaluate_every": 1}, {"optimizer": "adam", "schedule": "cosine"}
    frames = task.frames_phase("frames", steps=2, batch_size=5, learning_rate=1.0, **rule, **curve)
    of_clips = partial(
        task.clips_phase,
        "clips",
        steps=2,
        batch_size=4,
        learning_rate=1.0,
        cnn_learning_rate=1.0,
        cnn_optimizer="adamw",
        frame_loss=1.0,
        **rule,
        **curve,
    )
    clips, parts = of_clips(), of_clips(sub_batches=2)
    shown = [phase.whole_batch(0, step).frames for phase in (frames, clips) for step in (0, 1)]
    assert [batch.shape for batch in shown] == [(5, 1, 28, 28, 1)] * 2 + [(4, 3, 28, 28, 1)] * 2
    images = np.concatenate([np.asarray(batch).reshape(-1, 28 * 28) for batch in shown])
    assert len(np.unique(images, axis=0)) == len(images)
    halves = [parts.batch(0, 0, rows).frames for rows in (np.arange(2), np.arange(2, 4))]
    np.testing.assert_array_equal(np.concatenate(halves), shown[2])


def test_accuracy_is_that_of_single_videos(monkeypatch):
    monkeypatch.setattr(endless_videos, "TEST_BATCH", 4)  # the last batch is smaller
    task = experiment(Path("nowhere")).task(*CELL)
    params, state = jax.tree.map(
        lambda leaf: leaf + 0.3 * jnp.sin(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape),
        task.initial(),
    )
    state = jax.tree.map(jnp.abs, state)
    evaluate = jax.jit(partial(task.model.apply, train=False))
    correct = {"mean_pooling": 0, "cnn_lstm": 0}
    for index in range(55):  # each class once
        video = task._render(task.clips, 0, np.array([index]))
        steps, frames = evaluate({"params": params, **state}, video.frames - task.digits.mean)
        probabilities = np.asarray(jax.nn.softmax(frames[0]), np.float64)
        mean = np.log(probabilities).mean(axis=0)
        for name, scores in (("mean_pooling", mean), ("cnn_lstm", steps[0, -1])):
            correct[name] += int(scores.argmax() == video.labels[0])
    expected = {name: count / 55 for name, count in correct.items()}
    assert task.accuracy(params, state, 55) == expected
    assert sum(expected.values()) > 0


@pytest.mark.no_cover  # the lines are those of the uninterrupted run
@pytest.mark.parametrize("at_call", [3, 8, 12])
def test_an_interrupted_run_ends_as_the_uninterrupted_one(tmp_path, finished, at_call):
    runs.assert_it_ends_as(finished, config(), tmp_path, endless_videos, "render_videos", at_call=at_call)
    one, other = (trained(folder) for folder in (tmp_path, finished))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def trained(folder):
    """All that a finished run has learned."""
    frames = experiment(folder).frames(*CELL)
    return frames, experiment(folder).clips(*CELL, frames)


def test_evaluating_the_checkpoints_gives_the_same_numbers(finished):
    runs.assert_evaluation_repeats(finished)


def test_devices_train_as_one(tmp_path, monkeypatch):
    """Batch normalization included: two devices see two frames each, and normalize four."""
    results = {}
    for parallel, count in (("jit", 1), ("pmap", 2)):
        monkeypatch.setattr(loop, "devices_at_work", lambda n=count: tuple(jax.devices()[:n]))
        settings = config(parallel=parallel)
        fitting_there = Fitting(settings, tmp_path / parallel, trains=True)
        result = EndToEnd.prepare(settings, fitting_there).frames(*CELL)
        results[parallel] = result.params, result.model_state
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4), *results.values()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiment": "none"}, "config.experiment must be one of two_stage, end_to_end"),
        ({"protocols": ("interleaved",)}, "config.protocols must be at least one of new_motion, new_digits"),
        ({"frames__steps__new_motion": 0}, "config.frames.steps.new_motion must be a whole number"),
        ({"clips__frame_loss": 0.0}, "config.clips.frame_loss must be a number above 0"),
        ({"clips__sub_batches": 4}, "config.clips.sub_batches must divide config.clips.batch_size=2, got 4"),
        ({"lstm__batch_size": 10}, "config.lstm.batch_size must divide the 55 training videos"),
        ({"digits": "mnist"}, "config.data_dir .*must name the folder of the MNIST files"),
    ],
)
def test_wrong_values_are_named_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run.train_and_evaluate(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_devices_that_cannot_share_a_batch_are_named_before_anything_is_written(tmp_path, monkeypatch):
    """The CNN's statistics would count what fills a batch up."""
    monkeypatch.setattr(devices, "devices_at_work", lambda: tuple(jax.devices()))
    message = (
        r"config.frames.batch_size: a batch of 4 examples cannot be split over 8 devices; take 8, or let"
    )
    with pytest.raises(ConfigError, match=message):
        run.train_and_evaluate(config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def result(seed, accuracy):
    """The results of one run in which everything has the same accuracy."""
    template = [("mean_pooling", "new_digits"), ("cnn_lstm", "new_motion")]
    made = [
        Row("A2", model, "rotation_scaling", protocol, "accuracy", accuracy, 0.01 * seed, 1 + seed)
        for model, protocol in template
    ]
    origin = {"commit": "abc", "seed": seed, "wall_seconds": 60.0 * seed}
    return FinishedRun(Path("nowhere"), Results("end_to_end", {"seed": seed, "frames": 3}, origin, made))


def changed_result(seed, **changes):
    run = result(seed, 0.7)
    return run._replace(results=dataclasses.replace(run.results, **changes))


def test_combined_rows_are_of_runs():
    combined = combine_seeds([result(3, 0.9), result(1, 0.5), result(2, 0.7)]).results
    assert [row.model for row in combined.rows] == ["mean_pooling", "cnn_lstm"]
    for row in combined.rows:
        np.testing.assert_allclose((row.mean, row.std, row.n), (0.7, np.sqrt(0.08 / 3), 3))
    assert combined.config == {"seed": [3, 1, 2], "frames": 3}
    assert combined.provenance == {"commit": "abc", "seed": [3, 1, 2], "wall_seconds": 120.0}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (result(1, 0.7), r"must have different seeds, got \[1, 1\]"),
        (changed_result(2, config={"seed": 2, "frames": 4}), "seeds 1 and 2 .*same config"),
        (changed_result(2, experiment="two_stage"), "must have the same experiment"),
        (
            changed_result(2, provenance={"commit": None, "seed": 2, "wall_seconds": 120.0}),
            "same commit, got abc and None",
        ),
    ],
)
def test_only_repetitions_are_combined(other, message):
    with pytest.raises(CombineError, match=message):
        combine.combine([result(1, 0.5), other])


def test_the_program_that_combines(finished, tmp_path, capsys):
    output = tmp_path / "two.json"
    assert combine.main([str(finished), "--output", str(output)]) == 0
    assert [row.mean for row in read_results(output).rows] == [row.mean for row in runs.rows(finished)]
    written = json.loads((tmp_path / "two_curves.json").read_text())
    expected = read_curves(finished, config().protocols, config().conditions)
    assert {curve["curve"]: curve["accuracy"] for curve in written} == {
        name: curve.accuracy.tolist() for name, curve in expected.items()
    }
    assert (tmp_path / "two_curves.png").exists()
    assert combine.main([str(finished), str(finished), "--output", str(output)]) == 1
    assert "different seeds" in capsys.readouterr().err
    assert combine.main([str(tmp_path), "--output", str(output)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
