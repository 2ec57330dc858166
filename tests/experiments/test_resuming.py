"""A workdir under another config: what was trained is kept, the rest is made again; or it is refused."""

import gzip
import json
import logging
import shutil
from pathlib import Path

import experiments_tiny as tiny
import pytest

from geoattn_jax.experiments import run
from geoattn_jax.experiments.core import fitting
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.experiments.digits import two_stage
from geoattn_jax.experiments.registry import EXPERIMENTS
from geoattn_jax.training import WorkdirError, read_config

MARKER = "geoattn_jax.json"
PRETRAINED = "lenet/pretrain"
ROUNDS = "lenet/rotation/lstm"


def config(**overrides):
    return tiny.tiny_config("quickstart", **{"models": ("lenet",), "conditions": ("rotation",)} | overrides)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    run.train_and_evaluate(config(), folder)
    return folder


@pytest.fixture
def finished(once, tmp_path):
    return shutil.copytree(once, tmp_path / "finished")


def contents(folder, *, without=()):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in without
    }


def trained(folder, name):
    """All files of a training."""
    return contents(folder / name)


@pytest.fixture
def trainings(monkeypatch):
    """The steps that every call of `train` had yet to do, by folder."""
    calls, train = {}, fitting.train

    def watched(phases, *rest, directory, **options):
        before = fitting.trained_steps(directory)
        result = train(phases, *rest, directory=directory, **options)
        calls[f"{directory.parent.name}/{directory.name}"] = result.step - before
        return result

    monkeypatch.setattr(fitting, "train", watched)
    return calls


@pytest.mark.parametrize(
    "changes",
    [
        {"log_every": 3, "checkpoint_every": 7},
        {"pretrain__evaluate_every": 1},
        {"parallel": "pmap"},
        {"remat": True},
        {"tensorboard": True},
        {"pretrain__steps__stn": 77},  # of a network that is not trained
        {"conditions": ("rotation", "scaling")},
    ],
)
def test_a_change_that_no_training_reads_keeps_all_trainings(finished, trainings, changes):
    before = {name: trained(finished, name) for name in (PRETRAINED, ROUNDS)}
    rows = read_results(finished / "results.json").rows
    run.train_and_evaluate(config(**changes), finished)
    assert trainings[PRETRAINED] == trainings["rotation/lstm"] == 0
    for name, files in before.items():
        now = {
            path: content for path, content in trained(finished, name).items() if "tensorboard" not in path
        }
        assert now == files
    assert set(rows) <= set(read_results(finished / "results.json").rows)
    for recorded in (read_config(finished), read_results(finished / "results.json").config):
        assert recorded == json.loads(config(**changes).to_json_best_effort())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lstm__rounds": 4}, "lstm.rounds: 3 then, 4 now, on which lenet/rotation/lstm hang"),
        (
            {"pretrain__learning_rate": 0.5},
            "pretrain.learning_rate: 1.0 then, 0.5 now, on which lenet/pretrain, lenet/rotation/lstm hang",
        ),
        (
            {"dtype": "bfloat16", "pretrain__sub_batches": 2},
            'dtype: "float32" then, "bfloat16" now, on which lenet/pretrain, lenet/rotation/lstm hang; '
            "pretrain.sub_batches: 1 then, 2 now, on which lenet/pretrain, lenet/rotation/lstm hang",
        ),
        (
            {"seed": 1, "lstm__units": 9},
            "seed: 0 then, 1 now, on which lenet/pretrain, lenet/rotation/lstm hang; "
            "lstm.units: 8 then, 9 now, on which lenet/rotation/lstm hang",
        ),
        (
            {"protocol": "new_motion"},
            'protocol: "interleaved" then, "new_motion" now, on which lenet/rotation/lstm hang',
        ),
    ],
)
def test_a_change_that_would_throw_training_away_is_refused(finished, changes, said):
    before = contents(finished)
    with pytest.raises(WorkdirError) as raised:
        run.train_and_evaluate(config(**changes), finished)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert contents(finished) == before


def test_what_is_computed_is_made_again_if_nothing_was_trained_on_it(finished, trainings, caplog):
    shutil.rmtree(finished / ROUNDS)
    before = trained(finished, PRETRAINED), contents(finished / "lenet" / "rotation")
    with caplog.at_level(logging.INFO):
        run.train_and_evaluate(config(video__frames_per_setting=2), finished)
    assert trained(finished, PRETRAINED) == before[0]
    features = contents(finished / "lenet" / "rotation")
    assert all(features[f"{split}.npz"] != before[1][f"{split}.npz"] for split in ("train", "test"))
    assert trainings == {PRETRAINED: 0, "rotation/lstm": 2}
    assert (
        "video.frames_per_setting: 1 then, 2 now; trainings are kept, "
        "lenet/rotation/train.npz, lenet/rotation/test.npz made again" in caplog.text
    )


def test_what_no_config_asks_for_now_is_still_held_to_what_it_was_trained_with(finished, trainings):
    """The rotation's rounds are left out, meanwhile their setting changes: they cannot come back with it."""
    run.train_and_evaluate(config(conditions=("scaling",)), finished)
    shutil.rmtree(finished / "lenet" / "scaling" / "lstm")
    run.train_and_evaluate(config(conditions=("scaling",), lstm__rounds=4), finished)
    assert trainings[PRETRAINED] == 0
    with pytest.raises(WorkdirError, match=r"lstm\.rounds: 3 then, 4 now, on which lenet/rotation/lstm hang"):
        run.train_and_evaluate(config(conditions=("rotation", "scaling"), lstm__rounds=4), finished)
    with pytest.raises(WorkdirError, match=r"lstm\.rounds: 4 then, 3 now, on which lenet/scaling/lstm hang"):
        run.train_and_evaluate(config(conditions=("rotation", "scaling")), finished)
    run.train_and_evaluate(config(conditions=("rotation",)), finished)


def test_a_training_without_a_checkpoint_holds_nothing(tmp_path, trainings):
    (tmp_path / PRETRAINED).mkdir(parents=True)
    (tmp_path / PRETRAINED / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0, "seconds": 1.0}\n')
    (tmp_path / MARKER).write_text(json.dumps({"format": 1, "config": old_config()}))
    run.train_and_evaluate(config(pretrain__learning_rate=0.5), tmp_path)
    assert trainings[PRETRAINED] == 2


def old_config(**overrides):
    return json.loads(config(**overrides).to_json_best_effort())


def make_old(folder):
    """As a version left it that recorded nothing but the config."""
    (folder / MARKER).write_text(json.dumps({"format": 1, "config": old_config()}, indent=2))


def test_the_marker_of_an_older_version_resumes(finished, trainings):
    make_old(finished)
    rows = read_results(finished / "results.json").rows
    run.train_and_evaluate(config(), finished)
    assert set(trainings.values()) == {0}
    assert read_results(finished / "results.json").rows == rows
    make_old(finished)
    run.evaluate(finished)
    make_old(finished)
    with pytest.raises(WorkdirError, match=r"lstm\.rounds: 3 then, 4 now"):
        run.train_and_evaluate(config(lstm__rounds=4), finished)


def test_an_older_version_lacked_a_key_that_now_has_the_value_of_before(finished, trainings):
    recorded = old_config()
    del recorded["checkpoint_every"], recorded["lstm"]["learning_rate"]
    del recorded["dtype"], recorded["remat"], recorded["pretrain"]["sub_batches"]
    del recorded["pretrain"]["shift_in"], recorded["lstm"]["gate_activation"]
    (finished / MARKER).write_text(json.dumps({"format": 1, "config": recorded}))
    run.train_and_evaluate(config(), finished)
    assert set(trainings.values()) == {0}


def test_an_older_version_did_not_record_the_data(finished, tmp_path):
    make_old(finished)
    moved = config(data_dir="elsewhere")  # which sklearn's digits do not need
    with pytest.raises(WorkdirError, match=r'data_dir: null then, "elsewhere" now\); go on with the old'):
        run.train_and_evaluate(moved, finished)
    run.train_and_evaluate(config(), finished)
    run.train_and_evaluate(moved, finished)


def test_another_experiment_is_refused(finished):
    before = contents(finished)
    with pytest.raises(WorkdirError, match='experiment: "two_stage" then, "end_to_end" now'):
        run.train_and_evaluate(tiny.tiny_config("end_to_end", digits="sklearn"), finished)
    assert contents(finished) == before


def mnist_config(folder, **overrides):
    return config(digits="mnist", data_dir=str(folder), **overrides)


def test_digits_that_moved_are_the_same_and_others_are_refused(tmp_path, trainings):
    first, second, workdir = (tmp_path / name for name in ("first", "second", "run"))
    for folder in (first, second):
        folder.mkdir()
        tiny.write_mnist(folder)
    run.train_and_evaluate(mnist_config(first), workdir)
    run.train_and_evaluate(mnist_config(second), workdir)
    assert set(trainings.values()) == {0}
    labels = second / "train-labels-idx1-ubyte.gz"
    content = gzip.decompress(labels.read_bytes())
    labels.write_bytes(gzip.compress(content[:8] + content[8:][::-1]))
    before = contents(workdir)
    with pytest.raises(WorkdirError, match="train data: changed digits, on which lenet/pretrain, lenet/rot"):
        run.train_and_evaluate(mnist_config(second), workdir)
    assert contents(workdir) == before


@pytest.mark.parametrize("name", [path.stem for path in sorted(tiny.CONFIGS.glob("*.py"))])
def test_every_config_of_the_project_has_a_plan(name, tmp_path):
    """Whose stages are told apart by their paths, and based on stages that are there."""
    settings = tiny.load_config(name)
    plan = EXPERIMENTS[settings.experiment].plan(settings)
    for stage in plan.stages.values():
        assert set(stage.after) <= plan.stages.keys()
        keys, _ = plan.identity(stage.path)
        assert keys
        assert not {"log_every", "parallel", "tensorboard", "checkpoint_every", "remat"} & keys.keys()


def test_a_stage_cannot_read_what_it_does_not_declare(tmp_path):
    experiment = two_stage.TwoStage.prepare(config(), Fitting(config(), tmp_path, trains=True))
    settings = experiment.plan.settings(ROUNDS)
    assert settings.lstm.rounds == 3
    for key in ("pretrain", "frame_size", "models"):
        with pytest.raises(AttributeError):
            getattr(settings, key)
    with pytest.raises(AttributeError):
        _ = experiment.plan.settings(PRETRAINED).pretrain.steps.stn


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.no_cover  # the lines are those of the tests above
@pytest.mark.parametrize("at_call", range(1, 5))
def test_killed_around_an_accepted_change_it_resumes(finished, tmp_path, monkeypatch, at_call):
    """Between any two changes of the folder."""
    shutil.rmtree(finished / ROUNDS)
    changed = config(video__frames_per_setting=2)
    calls = []

    def counted(function):
        def call(*arguments, **options):
            calls.append(function)
            if len(calls) == at_call:
                raise KilledError
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(Path, "replace", counted(Path.replace))
        with pytest.raises(KilledError):
            run.train_and_evaluate(changed, finished)
    run.train_and_evaluate(changed, finished)
    run.train_and_evaluate(changed, tmp_path / "fresh")
    assert (
        read_results(finished / "results.json").rows == read_results(tmp_path / "fresh" / "results.json").rows
    )
