"""Paper A's experiment on a few frames: complete, resumed to the bit, evaluated anew, refused when wrong."""

import itertools
import json
import shutil
import sys

import experiments_runs as runs
import experiments_tiny as tiny
import pytest

from geoattn_jax.experiments import run
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.experiments.digits import pretraining, two_stage
from geoattn_jax.native import kernels
from geoattn_jax.training import WorkdirError

CONDITIONS = ("rotation", "elastic")


def config(**overrides):
    return tiny.tiny_config("quickstart", **{"models": ("lenet",), "conditions": CONDITIONS} | overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run.train_and_evaluate(config(), folder)
    return folder


def test_every_cell_is_there_beside_the_papers_number(finished):
    results = read_results(finished / "results.json")
    assert results.experiment == "two_stage"
    assert results.config["lstm"]["rounds"] == 3
    assert results.provenance["wall_seconds"] > 0
    cells = {(row.protocol, row.condition, row.metric): row for row in results.rows if row.table == "A1"}
    protocols, metrics = ("same_frames", "interleaved"), ("loss", "accuracy")
    assert set(cells) == set(itertools.product(protocols, CONDITIONS, metrics))
    assert all(row.n == 3 and row.model == "lenet_lstm" for row in cells.values())
    assert cells["same_frames", "rotation", "accuracy"].paper == 0.9843
    assert cells["same_frames", "elastic", "loss"].paper == 1.48
    assert cells["interleaved", "elastic", "loss"].paper is None
    assert cells["interleaved", "elastic", "loss"].std > 0
    (pretraining_row,) = [row for row in results.rows if row.table == "pretraining"]
    assert (pretraining_row.model, pretraining_row.n, pretraining_row.paper) == ("lenet", 1, None)
    assert "98.43" in (finished / "table.md").read_text()


def test_same_frames_alone_is_what_stands_beside_interleaved(tmp_path, finished):
    """Without features of test frames; the pretraining is the other run's."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for condition in CONDITIONS:
        shutil.rmtree(tmp_path / "lenet" / condition)
    run.train_and_evaluate(config(protocol="same_frames", conditions=CONDITIONS[:1]), tmp_path)
    alone, both = (
        {(row.condition, row.metric): row for row in runs.rows(folder) if row.protocol == "same_frames"}
        for folder in (tmp_path, finished)
    )
    assert [condition for condition, _ in alone] == [CONDITIONS[0]] * 2
    assert alone.items() <= both.items()
    assert [path.name for path in tmp_path.rglob("*.npz")] == ["train.npz"]


def test_the_figures_are_there(finished):
    names = {path.name for path in (finished / "figures").iterdir()}
    lstm = {f"lstm_{condition}.png" for condition in CONDITIONS}
    assert names == {"sequences.png", "pretraining.png", "elastic.png"} | lstm


def test_every_model(tmp_path):
    """In bfloat16, rematerialized, by sub-batches, as the program; `finished` has none of these."""
    models = ("stn", "dcn", "deform")
    changes = {"dtype": "bfloat16", "remat": True, "pretrain__sub_batches": 2, "lstm__sub_batches": 5}
    changes |= {"pretrain__shift_in": "source", "lstm__gate_activation": "hard_sigmoid"}
    run.train_and_evaluate(config(models=models, conditions=("rotation",), **changes), tmp_path)
    assert {row.model for row in runs.rows(tmp_path) if row.table == "A1"} == {
        f"{name}_lstm" for name in models
    }
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"transformer.png", "dcn_positions.png", "deform_positions.png"} <= names


@pytest.mark.parametrize(
    ("module", "name", "at_call"),
    [
        (pretraining, "render_scaled_digits", 3),
        (two_stage, "render_videos", 107),
        (two_stage, "score_rounds", 1),
    ],
)
def test_an_interrupted_run_ends_as_the_uninterrupted_one(tmp_path, finished, module, name, at_call):
    runs.assert_it_ends_as(finished, config(), tmp_path, module, name, at_call=at_call)


def test_evaluating_the_checkpoints_gives_the_same_numbers(finished):
    for path in finished.rglob("test.npz"):
        path.unlink()
    runs.assert_evaluation_repeats(finished)


def test_evaluation_needs_a_finished_training(tmp_path):
    runs.begin(config(), tmp_path / "begun", pretraining, "render_scaled_digits", at_call=3)
    with pytest.raises(WorkdirError, match=r"has done 1 of 2 steps; run train\.py on the same workdir"):
        run.evaluate(tmp_path / "begun")
    with pytest.raises(WorkdirError, match="no run was started in it"):
        run.evaluate(tmp_path / "nothing")


def test_evaluation_computes_nothing_before_it_refuses(tmp_path, monkeypatch, finished):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "lenet" / "elastic" / "lstm")
    runs.interrupt(monkeypatch, pretraining, "render_scaled_digits", at_call=1)
    runs.interrupt(monkeypatch, two_stage, "render_videos", at_call=1)
    with pytest.raises(WorkdirError, match=r"lenet/elastic/lstm has done 0 of 2 steps; run train\.py"):
        run.evaluate(tmp_path)


def test_another_config_is_refused(finished):
    before = json.loads((finished / "results.json").read_text())
    with pytest.raises(WorkdirError, match=r"lstm\.rounds: 3 then, 4 now"):
        run.train_and_evaluate(config(lstm__rounds=4), finished)
    assert json.loads((finished / "results.json").read_text()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experiment": "none"}, "config.experiment must be one of two_stage"),
        ({"digits": "letters"}, "config.digits must be one of sklearn, mnist, got 'letters'"),
        ({"models": ()}, "config.models must be at least one of lenet, stn, dcn, deform"),
        ({"conditions": ("rotation", "rotation")}, "config.conditions must be .*each once"),
        ({"frame_size": 27}, "config.frame_size must be a whole number, at least 28, got 27"),
        ({"lstm__rounds": 0}, "config.lstm.rounds must be a whole number, at least 1, got 0"),
        ({"pretrain__sub_batches": 3}, "config.pretrain.sub_batches must divide .*batch_size=4, got 3"),
        ({"lstm__sub_batches": 4}, "config.lstm.sub_batches must divide config.lstm.batch_size=50, got 4"),
        ({"protocol": "same"}, "config.protocol must be one of same_frames, interleaved.*got 'same'"),
        ({"lstm__gate_activation": "relu"}, "config.lstm.gate_activation must be one of sigmoid, hard_sig"),
        ({"pretrain__shift_in": "output"}, "config.pretrain.shift_in must be one of target, source"),
        ({"dtype": "float16"}, "config.dtype must be one of float32, bfloat16, got 'float16'"),
        ({"lstm__batch_size": 30}, "config.lstm.batch_size must divide the 100 training videos"),
        ({"pretrain__learning_rate": -1.0}, "config.pretrain.learning_rate must be a number above 0"),
        ({"pretrain__steps__stn": 0}, "config.pretrain.steps.stn must be a whole number"),
        ({"parallel": "threads"}, "config.parallel must be one of jit, pmap"),
        ({"seed": -1}, "config.seed must be a whole number, from 0"),
        ({"digits": "mnist"}, "config.data_dir .*must name the folder of the MNIST files"),
        ({"digits": "mnist", "data_dir": "nowhere"}, "config.data_dir .*'nowhere' is not a folder"),
    ],
)
def test_wrong_values_are_named_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run.train_and_evaluate(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_kernels_that_there_are_not_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    if kernels().instructions is None:
        pytest.skip(str(kernels()))
    monkeypatch.setenv("GEOATTN_JAX_NATIVE", "z80")
    with pytest.raises(ConfigError, match="GEOATTN_JAX_NATIVE must be 0, 1 or"):
        run.train_and_evaluate(config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_asked_for_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"config\.tensorboard=True needs tensorboardX: pip install"):
        run.train_and_evaluate(config(tensorboard=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_and_unknown_keys_are_named(tmp_path):
    changed = config().unlock()
    del changed.lstm.units
    changed.lstm.layers = 2
    with pytest.raises(
        ConfigError, match=r"config\.lstm\.layers is not a key .*config\.lstm\.units is missing, a whole"
    ):
        run.train_and_evaluate(changed, tmp_path / "run")
