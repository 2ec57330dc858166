"""The six streams on a few clips of noise: complete, resumed to the bit, evaluated anew, refused."""

import itertools

import experiments_runs as runs
import experiments_tiny as tiny
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.experiments import run
from geoattn_jax.experiments.attention import kitchen_windows
from geoattn_jax.experiments.attention.trainings import joint_folder
from geoattn_jax.experiments.core import fitting
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_3 import experiment as six_streams
from geoattn_jax.experiments.table_3.experiment import SixStreams
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.experiments.table_3.published import printed_precision
from geoattn_jax.experiments.table_3.scores import Scores, rows_of
from geoattn_jax.experiments.table_3.sources import kitchen as kitchen_clips
from geoattn_jax.training import WorkdirError, stored_rows

COMBINATIONS = ("spatial", "temporal", "spatial_temporal")
MODELS = ("sstn", "hard_coded")


def config(**overrides):
    return tiny.tiny_config("table_b3", **{"levels": ("general",)} | overrides)


def windows(kitchen, seed, indices):
    """Stands for the search for hard-coded regions, which would take most of the time."""
    level, rng = kitchen.sizes, np.random.default_rng([int(seed), *np.asarray(indices)])
    limits = np.array(level.crop_hw) - level.window_hw
    found = rng.integers(0, limits + 1, (len(indices), level.crop_range + 1, 2))
    return jnp.asarray(found, jnp.float32)


def render(kitchen, seed, indices, stream, bound):
    """Stands for rendering."""
    rng, (height, width) = np.random.default_rng([seed, *indices]), kitchen.sizes.frame_hw
    shape = (10, height, width, 3) if stream == "rgb" else (height, width, 10, 2)
    return rng.integers(0, 256, (len(indices), *shape), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _clips_of_noise():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kitchen_windows, "windows_of_crops", windows)
        patch.setattr(kitchen_clips, "_render", render)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run.train_and_evaluate(config(), folder)
    return folder


def test_every_cell_is_there_beside_the_papers_number(finished):
    cells = {
        (row.protocol, row.group, row.metric, row.condition, row.model): row for row in runs.rows(finished)
    }
    groups = [None, "texture", "motion", "context", "background"]
    for streams, group, level, model in itertools.product(
        COMBINATIONS, groups, ("general", "late_fusion"), MODELS
    ):
        row = cells.pop((streams, group, "mean_average_precision", level, model))
        assert row.paper == (None if group else printed_precision(streams, level, model))
        assert (row.table, row.n) == ("B3", 1)
    for streams, level, model in itertools.product(COMBINATIONS, ("general", "late_fusion"), MODELS):
        assert cells.pop((streams, None, "accuracy", level, model)).paper is None
    assert not cells
    assert "[60.09]" in (finished / "table.md").read_text()


def test_the_figures_are_there(finished):
    names = {path.name for path in (finished / "figures").iterdir()}
    assert names == {f"confusion_{streams}_{model}.png" for streams in COMBINATIONS for model in MODELS}


def test_a_row_is_the_mean_of_the_runs():
    labels = np.array([0, 1, 1])
    cell = ("temporal", "detail", "hard_coded")
    right, wrong = (sign * np.array([[1.0, -1.0], [-1.0, 1.0], [-2.0, 2.0]]) for sign in (1, -1))
    precision, group, accuracy = rows_of(
        {"second": (1,)}, [{cell: Scores(values, labels)} for values in (right, wrong)]
    )
    assert (precision.mean, precision.n, precision.paper) == (
        pytest.approx((1 + (1 / 3 + 7 / 12) / 2) / 2),
        2,
        0.4918,
    )
    assert (group.protocol, group.group) == ("temporal", "second")
    assert group.mean == pytest.approx((1 + 7 / 12) / 2)
    assert group.values == pytest.approx((1, 7 / 12))
    assert (accuracy.mean, accuracy.std) == (0.5, 0.5)


@pytest.mark.no_cover  # the lines are those of the uninterrupted run
def test_an_interrupted_run_ends_as_the_uninterrupted_one(tmp_path, finished):
    in_the_middle_of_joint_training = StreamFrames, "training"
    runs.assert_it_ends_as(finished, config(), tmp_path, *in_the_middle_of_joint_training, at_call=6)


def test_a_finished_run_reads_its_features(finished, monkeypatch):
    expected = runs.rows(finished)
    (finished / "results.json").unlink()
    for place, name in ((kitchen_clips, "_render"), (fitting, "train"), (six_streams, "extract_features")):
        monkeypatch.setattr(place, name, None)
    run.train_and_evaluate(config(), finished)
    assert runs.rows(finished) == expected


def test_features_that_were_kept_as_whole_arrays_are_read(finished, monkeypatch):
    """So were they before they were written portion by portion."""
    expected = runs.rows(finished)
    for path in finished.rglob("features_*.npz"):
        with stored_rows(path, dict) as stored:
            arrays = {name: stored[name].whole() for name in (*MODELS, "lengths")}
        np.savez(path, **arrays, seconds=np.array(1.0))
    monkeypatch.setattr(six_streams, "extract_features", None)
    run.train_and_evaluate(config(), finished)
    assert runs.rows(finished) == expected


def test_only_a_missing_stage_is_done_again(finished, monkeypatch):
    expected, extracted, extract = runs.rows(finished), [], six_streams.extract_features
    (finished / "flow" / "general" / "small" / "seed_0" / "features_test.npz").unlink()

    def watched(frames, split, models, *, batch_size):
        extracted.append((frames.stream, split))
        return extract(frames, split, models, batch_size=batch_size)

    monkeypatch.setattr(six_streams, "extract_features", watched)
    run.train_and_evaluate(config(), finished)
    assert extracted == [("flow", "test")]
    assert runs.rows(finished) == expected


def test_evaluating_the_checkpoints_gives_the_same_numbers(finished):
    runs.assert_evaluation_repeats(finished)


def test_evaluation_needs_a_finished_training(tmp_path, monkeypatch):
    runs.begin(config(), tmp_path, StreamFrames, "training", at_call=3)
    monkeypatch.setattr(kitchen_clips, "_render", None)
    with pytest.raises(WorkdirError, match=r"has done 1 of 2 steps; run train\.py on the same workdir"):
        run.evaluate(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__source": "mpii"}, "config.data.source must be one of kitchen_mini, mpii_cooking, vid"),
        ({"scale": "paper"}, "config.scale must be one of mini for kitchen_mini, got 'paper'"),
        ({"levels": ()}, "config.levels must be at least one of detail, middle, general"),
        ({"localizer": "huge"}, "config.localizer must be one of small, small_wide, medium, large, vgg_f"),
        ({"models": ("stn_default",)}, "config.models must be at least one of sstn, hard_coded"),
        ({"data__clips__test": 41}, "config.data.clips.test must be a whole number, at least 42, got 41"),
        ({"sub_batches": 3}, "config.sub_batches must divide config.batch_size=4, got 3"),
        ({"flow__dropout__recognizer": 1.0}, "config.flow.dropout.recognizer must be a number from 0 to"),
        (
            {"rgb__joint__updates__detail": 0},
            "config.rgb.joint.updates.detail must be a whole number, at least 1",
        ),
        ({"pooling__kind": "mean"}, "config.pooling.kind must be one of rbf, euclidean, correlation"),
        ({"pooling__components": 129}, "config.pooling.components must be at most 128"),
        ({"recognizer": "vgg_m"}, "config.recognizer: vgg_m cannot see the regions of general level"),
        ({"svm_c": 0.0}, "config.svm_c must be a number above 0"),
    ],
)
def test_wrong_values_are_named_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run.train_and_evaluate(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_stream_is_trained_by_its_own_settings(tmp_path):
    changes = {"flow__joint__localizer_rate__general": 7.0, "rgb__dropout__recognizer": 0.25}
    cut = config(dtype="bfloat16", **changes)
    streams = SixStreams.prepare(cut, Fitting(cut, tmp_path, trains=True)).streams
    rgb, flow = (streams["general", stream] for stream in ("rgb", "flow"))
    folder = joint_folder("general", "small", "sstn", 0)
    joint = [one.section.joint(one.plan.settings(one.section.path(folder))) for one in (rgb, flow)]
    assert [dict(one.localizer_rate) for one in joint] == [{"general": 1e-3}, {"general": 7.0}]
    models = [one.task("small", mode="affine", start="centred").model for one in (rgb, flow)]
    assert [model.recognizer.dropout_rate for model in models] == [0.25, 0.2]
    assert {part.dtype for model in models for part in (model.localizer, model.recognizer)} == {"bfloat16"}
