"""Paper B's experiment on a few frames: complete, resumed to the bit, evaluated anew, refused when wrong."""

import contextlib
import dataclasses
import json
from functools import partial

import experiments_runs as runs
import experiments_tiny as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.experiments import combine, run
from geoattn_jax.experiments.attention import kitchen_windows, networks
from geoattn_jax.experiments.attention.region_measures import Measures
from geoattn_jax.experiments.attention.trainings import MODELS
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import read_results, write_results
from geoattn_jax.experiments.migration import current_config
from geoattn_jax.experiments.table_2 import frames, numbers
from geoattn_jax.experiments.table_2.experiment import SupervisedAttention, rows_of
from geoattn_jax.experiments.table_2.layout import measure_of, tables
from geoattn_jax.experiments.table_2.numbers import ACCURACY, Measure
from geoattn_jax.models.resnet import ResNet18
from geoattn_jax.training import WorkdirError, devices

CHOSEN = ("stn_default", "sstn_guided", "sstn", "hard_coded")


def config(**overrides):
    return tiny.tiny_config(
        "sstn_kitchen", **{"models__general__small": CHOSEN, "levels": ("general",)} | overrides
    )


def windows(kitchen, seed, indices):
    """Stands for the search for hard-coded regions, which would take most of the time."""
    level, rng = kitchen.sizes, np.random.default_rng([int(seed), *np.asarray(indices)])
    limits = np.array(level.crop_hw) - level.window_hw
    found = rng.integers(0, limits + 1, (len(indices), level.crop_range + 1, 2))
    return jnp.asarray(found, jnp.float32)


def render(kitchen, seed, indices, per_clip):
    """Stands for rendering: noise, every class equally often."""
    indices, shape = np.asarray(indices), (len(indices), per_clip)
    level, rng = kitchen.sizes, np.random.default_rng([int(seed), *indices])
    frames = rng.integers(0, 256, (*shape, *level.frame_hw, 3), np.uint8)
    hand, panel = (rng.uniform(0, level.frame_hw, (*shape, 2)).astype(np.float32) for _ in range(2))
    return jax.tree.map(jnp.asarray, (frames, hand, panel, indices % 14))


def crop_with_motion(kitchen, seed, index):
    """Stands for a rendered clip and its motion."""
    rng, hw = np.random.default_rng([seed, index]), kitchen.sizes.crop_hw
    return rng.uniform(0, 1, (*hw, 3)), rng.uniform(0, 1, hw), np.zeros(2)


@pytest.fixture(scope="module", autouse=True)
def _frames_of_noise():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kitchen_windows, "windows_of_crops", windows)
        patch.setattr(frames, "_render", render)
        patch.setattr(frames, "_crop_with_motion", crop_with_motion)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run.train_and_evaluate(config(), folder)
    return folder


def test_every_cell_is_there_beside_the_papers_number(finished):
    cells = {(row.model, measure_of(row)): row for row in runs.rows(finished)}
    assert {row.table for row in cells.values()} == {"B2"}
    assert {(row.condition, row.network) for row in cells.values()} == {("general", "small")}
    assert {(row.n, len(row.values)) for row in cells.values()} == {(1, 1)}
    for model in CHOSEN:
        probed = MODELS[model].region == "attended"
        assert ((model, Measure("from_theta_alone", "accuracy", "texture")) in cells) == probed
        for metric in ("accuracy", *Measures._fields):
            assert (model, Measure("unseen_subjects", metric)) in cells
    printed = {model: cells[model, ACCURACY].paper for model in CHOSEN}
    assert printed == {"stn_default": 0.2902, "sstn": 0.2941, "sstn_guided": None, "hard_coded": None}
    assert cells["sstn", ACCURACY._replace(group="texture")].paper is None
    # The controls' own regions: as close to theta_2 as half a pixel.
    assert cells["hard_coded", Measure("unseen_subjects", "centre_distance")].mean < np.sqrt(0.5)
    assert "[29.41]" in (finished / "table.md").read_text()


def test_a_row_is_the_mean_of_the_runs():
    one, other = ({ACCURACY: 0.5, Measure("unseen_subjects", "scale"): n} for n in (1.0, 3.0))
    accuracy, scale = rows_of("middle", "large", "sstn", [one, other])
    assert (accuracy.condition, accuracy.network) == ("middle", "large")
    assert (accuracy.mean, accuracy.n, accuracy.paper) == (0.5, 2, 0.3064)
    assert (scale.mean, scale.std, scale.n, scale.paper) == (2.0, 1.0, 2, None)
    assert scale.values == (1.0, 3.0)


def test_the_runs_of_two_seeds_are_combined(finished, tmp_path):
    one = read_results(finished / "results.json")
    seeds = tmp_path / "0", tmp_path / "1"
    for seed, folder in enumerate(seeds):
        folder.mkdir()
        rows_of_seed = [
            dataclasses.replace(row, mean=float(seed)) for row in one.rows if row.metric == "accuracy"
        ]
        origin = {**one.provenance, "seed": seed}
        write_results(folder, dataclasses.replace(one, provenance=origin, rows=rows_of_seed), tables=tables)
    output = tmp_path / "table.json"
    assert combine.main([*map(str, seeds), "--output", str(output)]) == 0
    combined = {(row.mean, row.std, row.n, row.values) for row in read_results(output).rows}
    assert combined == {(0.5, 0.5, 2, (0.0, 1.0))}
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["table.json"]  # no curves


def test_the_figures_are_there(finished):
    names = {path.name for path in (finished / "figures").iterdir()}
    assert names == {
        "general_motion.png",
        "general_attended.png",
        "general_accuracy.png",
        "general_sstn_training.png",
        "general_sstn_outlines.png",
    }


def test_models_start_from_the_same_checkpoint(finished, monkeypatch):
    """What joint training is given: SSTN the guided networks, STN a fresh localizer, all one recognizer."""
    cut, given, fit = config(), {}, Fitting.fit

    def watched(self, name, phases, params, *rest, **options):
        given[name.rpartition("/")[2]] = params
        return fit(self, name, phases, params, *rest, **options)

    monkeypatch.setattr(Fitting, "fit", watched)
    level = SupervisedAttention.prepare(cut, Fitting(cut, finished, trains=False)).levels["general"]
    for model in CHOSEN:
        level.trained("small", model, 0)
    guided = level.guided("small", "affine", 0)
    assert set(given) == {"guide_affine", "stn_default", "sstn", "hard_coded"}
    equal = {name: jax.tree.map(np.array_equal, params, guided["params"]) for name, params in given.items()}
    assert all(jax.tree.leaves(equal["sstn"]) + jax.tree.leaves(equal["hard_coded"]))
    assert all(jax.tree.leaves(equal["stn_default"]["recognizer"]))
    layers = equal["stn_default"]["localizer"]["fc6"], equal["stn_default"]["transformer"]["theta"]
    assert not any(layer["kernel"] for layer in layers)


@pytest.mark.no_cover  # the lines are those of the uninterrupted run
@pytest.mark.parametrize(
    ("models", "module", "name", "at_call"),
    [
        # In the middle of joint training, with a model left to train.
        (("stn_default", "sstn"), frames, "_draw", 6),
        # While the second of three models is evaluated, with one left to train.
        (("sstn_guided", "stn_default", "hard_coded"), numbers, "class_from_theta", 2),
    ],
)
def test_an_interrupted_run_ends_as_the_uninterrupted_one(tmp_path, finished, models, module, name, at_call):
    """Which trained more models: those left out change nothing."""
    cut = config(models__general__small=models)
    runs.begin(cut, tmp_path, module, name, at_call=at_call)
    assert not (tmp_path / "results.json").exists()
    run.train_and_evaluate(cut, tmp_path)
    found = runs.rows(tmp_path)
    assert {row.model for row in found} == set(models)
    for model in models:
        own, expected = ([row for row in rows if row.model == model] for rows in (found, runs.rows(finished)))
        assert own == expected


def test_evaluating_the_checkpoints_gives_the_same_numbers(finished):
    runs.assert_evaluation_repeats(finished)


def test_evaluation_needs_a_finished_training(tmp_path):
    runs.begin(config(), tmp_path, frames, "_draw", at_call=3)
    with pytest.raises(WorkdirError, match=r"has done 1 of 2 steps; run train\.py on the same workdir"):
        run.evaluate(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models__general__small": ("stn",)},
            "config.models.general.small must be at least one of stn_default, stn_small",
        ),
        ({"levels": ()}, "config.levels must be at least one of detail, middle, general"),
        (
            {"localizers": ("huge",)},
            "config.localizers must be at least one of small, small_wide, medium, large, vgg",
        ),
        ({"recognizer": "vgg"}, "config.recognizer must be one of small, small_wide, medium, large, vgg_f"),
        (
            {"recognizer": "vgg_f"},
            "config.recognizer: vgg_f cannot see the regions of general level .*at least 63 x 63 pixels",
        ),
        ({"scale": "huge"}, "config.scale must be one of mini, paper"),
        ({"clips__test": 41}, "config.clips.test must be a whole number, at least 42, got 41"),
        ({"frames_per_clip": 11}, "config.frames_per_clip must be a whole number, from 1 to 10"),
        ({"sub_batches": 3}, "config.sub_batches must divide config.batch_size=4, got 3"),
        (
            {"dropout__recognizer": 1.0},
            "config.dropout.recognizer must be a number from 0 to below 1, got 1.0",
        ),
        ({"guide__crops": "centred"}, "config.guide.crops must be one of jittered, random"),
        (
            {"joint__localizer_rate__middle": 0.0},
            "config.joint.localizer_rate.middle must be a number above 0",
        ),
        ({"optimizer": "sgd"}, "config.optimizer must be one of adadelta, adam"),
    ],
)
def test_wrong_values_are_named_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run.train_and_evaluate(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("recognizer", "refused"), [("resnet_18_mini", True), ("small_wide", False)])
def test_devices_that_cannot_share_a_batch(tmp_path, monkeypatch, recognizer, refused):
    """Statistics over a batch would count what fills it up; networks without them do not mind."""
    monkeypatch.setattr(devices, "devices_at_work", lambda: tuple(jax.devices()))
    settings = config(recognizer=recognizer)
    fitting = Fitting(settings, tmp_path / "run", trains=True)
    message = r"config.batch_size: a batch of 4 examples cannot be split over 8 devices; take 8, or let"
    expected = pytest.raises(ConfigError, match=message) if refused else contextlib.nullcontext()
    with expected:
        SupervisedAttention.prepare(settings, fitting)
    assert not (tmp_path / "run").exists()


def test_a_workdir_of_an_earlier_version_is_read(tmp_path):
    """Its config names sizes of localizers and no recognizer; its folders have the old names, too."""
    cut = config(localizers=("medium",), models__general__medium=("sstn_guided",))
    run.train_and_evaluate(cut, tmp_path)
    expected = runs.rows(tmp_path)
    old = cut.to_dict() | {"localizers": ["middle"]}
    del old["recognizer"]
    old["models"] = {
        level: {"small": of["small"], "middle": of["medium"], "large": of["large"]}
        for level, of in old["models"].items()
    }
    (tmp_path / "general" / "medium").rename(tmp_path / "general" / "middle")
    marker = tmp_path / "geoattn_jax.json"
    record = json.loads(marker.read_text())
    marker.write_text(json.dumps(record | {"config": old}))
    (tmp_path / "results.json").unlink()
    run.evaluate(tmp_path)
    assert runs.rows(tmp_path) == expected
    assert {path.name for path in (tmp_path / "general").iterdir() if path.is_dir()} == {"medium"}
    run.train_and_evaluate(cut, tmp_path)  # which is the config that it has now
    assert runs.rows(tmp_path) == expected


def test_at_the_papers_scale_sizes_stood_for_the_vgg_networks():
    two, three = (
        {"experiment": experiment, "scale": "paper", **networks}
        for experiment, networks in (
            ("supervised_attention", {"localizers": ["large"], "models": {"detail": {"large": ["sstn"]}}}),
            ("six_streams", {"localizer": "middle"}),
        )
    )
    assert current_config(two)["localizers"] == ["vgg_16"]
    assert current_config(two)["models"]["detail"]["vgg_16"] == ["sstn"]
    assert current_config(three)["localizer"] == "vgg_m"
    assert {current_config(one)["recognizer"] for one in (two, three)} == {"vgg_16"}
    assert current_config(current_config(two)) == current_config(two)
    assert current_config({"experiment": "two_stage"}) == {"experiment": "two_stage"}


class ShortResNet(ResNet18):
    """A block of each kind: with the shortcut as it is, and with a projection."""

    stages = tuple(stage._replace(blocks=1) for stage in ResNet18.stages[:2])


@pytest.fixture
def _small_resnet(monkeypatch):
    small = partial(ShortResNet, stem="small", width=1 / 32)
    monkeypatch.setitem(networks.NETWORKS, "resnet_18_mini", partial(networks._resnet, small))


@pytest.mark.usefixtures("_small_resnet")
def test_another_recognizer_is_a_matter_of_the_config(tmp_path):
    """A residual network, whose running statistics are trained, resumed, handed over and evaluated.

    With little memory: by sub-batches, rematerialized and in bfloat16.
    """
    saving = {"sub_batches": 2, "remat": True, "dtype": "bfloat16"}
    cut = config(recognizer="resnet_18_mini", models__general__small=("stn_default",), **saving)
    run.train_and_evaluate(cut, tmp_path / "finished")
    runs.assert_it_ends_as(tmp_path / "finished", cut, tmp_path / "resumed", frames, "_draw", at_call=8)
    runs.assert_evaluation_repeats(tmp_path / "finished")
    fitting = Fitting(cut, tmp_path / "finished", trains=False)
    level = SupervisedAttention.prepare(cut, fitting).levels["general"]
    guided = level.guided("small", "affine", 0)
    initial = level.initial(level.task("small", mode="affine", start="default"), 0)
    means = [one["batch_stats"]["recognizer"]["norm1"]["mean"] for one in (initial, guided)]
    assert np.all(means[0] == 0)
    assert np.all(means[1] != 0)


def test_every_model_is_another():
    assert len(set(MODELS.values())) == len(MODELS)
