"""Six streams on videos and under settings that change: what is kept, made again and refused."""

import json
import logging
import shutil

import experiments_runs as runs
import experiments_tiny as tiny
import numpy as np
import pytest
from video_files import MOTIONS, moving_texture, write_avi, write_folder

from geoattn_jax.experiments import run
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.experiments.table_3 import experiment as six_streams
from geoattn_jax.training import WorkdirError

RUN = "general/small/seed_0"


def config(folder, **overrides):
    chosen = {"levels": ("general",), "models": ("hard_coded",), "data__data_dir": str(folder)}
    return tiny.tiny_config("video_folder", **(chosen | overrides))


def write_clip(path, step, count=4, seed=0):
    return write_avi(path, moving_texture(step, count, (48, 68), seed=seed))


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    write_folder(folder / "videos")
    run.train_and_evaluate(config(folder / "videos"), folder / "run")
    return folder


@pytest.fixture
def videos(once, tmp_path):
    return shutil.copytree(once / "videos", tmp_path / "videos")


@pytest.fixture
def workdir(once, tmp_path):
    return shutil.copytree(once / "run", tmp_path / "run")


def contents(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def trainings(workdir):
    """All files of all trainings."""
    return {
        name: contents(workdir / stream / RUN / name)
        for stream in ("rgb", "flow")
        for name in ("guide_affine", "hard_coded")
    }


def features(workdir, split):
    return [(workdir / stream / RUN / f"features_{split}.npz").read_bytes() for stream in ("rgb", "flow")]


@pytest.mark.no_cover  # the lines are those of the run before
@pytest.mark.parametrize(
    "changes",
    [
        {"pooling__kind": "correlation"},
        {"pooling__components": 2},
        {"svm_c": 0.01},
        {"evaluation_batch": 3, "evaluate_every": 2},
    ],
)
def test_settings_of_what_comes_after_training_keep_trainings_and_features(once, workdir, changes):
    before = trainings(workdir), features(workdir, "train"), features(workdir, "test")
    run.train_and_evaluate(config(once / "videos", **changes), workdir)
    assert (trainings(workdir), features(workdir, "train"), features(workdir, "test")) == before
    recorded = read_results(workdir / "results.json").config
    changed = config(once / "videos", **changes)
    assert (recorded["pooling"], recorded["svm_c"]) == (changed.pooling.to_dict(), changed.svm_c)


@pytest.mark.no_cover  # the lines are those of the run before
def test_more_runs_and_more_models_are_added(once, workdir):
    before = trainings(workdir), features(workdir, "train")
    more = config(once / "videos", runs=2, models=("sstn", "hard_coded"))
    run.train_and_evaluate(more, workdir)
    assert trainings(workdir) == before[0]
    assert features(workdir, "train") != before[1]
    with np.load(workdir / "rgb" / RUN / "features_train.npz") as found:
        assert {name.partition(".")[0] for name in found} - {"lengths", "seconds"} == {"sstn", "hard_coded"}
    assert {row.n for row in runs.rows(workdir)} == {2}


def test_a_setting_of_one_stream_is_refused_for_that_stream_alone(once, workdir):
    before = contents(workdir)
    with pytest.raises(WorkdirError) as raised:
        run.train_and_evaluate(config(once / "videos", flow__guide__crops="random"), workdir)
    said = str(raised.value)
    assert f'flow.guide.crops: "jittered" then, "random" now, on which flow/{RUN}/guide_affine' in said
    assert "rgb/" not in said
    assert contents(workdir) == before


def test_flow_by_another_method_is_refused(once, workdir):
    with pytest.raises(WorkdirError, match=r'data\.flow_method: "dis" then, "farneback" now, on which rgb/'):
        run.train_and_evaluate(config(once / "videos", data__flow_method="farneback"), workdir)


def test_a_folder_that_moved_is_the_same(videos, workdir, monkeypatch):
    """Also to a workdir of a version that had one way to compute flow."""
    marker = workdir / "geoattn_jax.json"
    record = json.loads(marker.read_text())
    del record["config"]["data"]["flow_method"]
    marker.write_text(json.dumps(record))
    before = trainings(workdir), features(workdir, "train"), features(workdir, "test")
    monkeypatch.setattr(six_streams, "extract_features", None)
    run.train_and_evaluate(config(videos), workdir)
    assert (trainings(workdir), features(workdir, "train"), features(workdir, "test")) == before


@pytest.mark.parametrize("evaluates", [False, True])
def test_other_test_clips_are_named_and_seen_again(videos, workdir, caplog, evaluates):
    run.train_and_evaluate(config(videos), workdir)
    write_clip(videos / "test" / "right" / "3.avi", MOTIONS["right"], seed=8)  # other bytes, the same name
    write_clip(videos / "test" / "right" / "new.avi", MOTIONS["right"], seed=9)
    (videos / "test" / "down" / "3.avi").rename(videos / "test" / "down" / "other.avi")
    before = trainings(workdir), features(workdir, "train"), features(workdir, "test")
    with caplog.at_level(logging.INFO):
        if evaluates:
            run.evaluate(workdir)
        else:
            run.train_and_evaluate(config(videos), workdir)
    assert (
        "test data: added test/down/other.avi, test/right/new.avi; removed test/down/3.avi; "
        "changed test/right/3.avi; trainings are kept, "
        f"rgb/{RUN}/features_test.npz, flow/{RUN}/features_test.npz made again"
    ) in caplog.text
    assert (trainings(workdir), features(workdir, "train")) == before[:2]
    if not evaluates:
        assert features(workdir, "test") != before[2]
    caplog.clear()
    run.train_and_evaluate(config(videos), workdir)
    assert "test data" not in caplog.text


def test_other_validation_clips_are_named(videos, workdir, caplog):
    write_clip(videos / "validation" / "down" / "more.avi", MOTIONS["down"], seed=5)
    before = trainings(workdir), features(workdir, "train"), features(workdir, "test")
    with caplog.at_level(logging.INFO):
        run.train_and_evaluate(config(videos), workdir)
    assert "validation data: added validation/down/more.avi; trainings are kept, nothing made" in caplog.text
    assert (trainings(workdir), features(workdir, "train"), features(workdir, "test")) == before


def test_other_training_clips_are_refused(videos, workdir):
    write_clip(videos / "train" / "right" / "0.avi", MOTIONS["right"], seed=8)
    (videos / "train" / "down" / "1.avi").unlink()
    before = contents(workdir)
    with pytest.raises(WorkdirError) as raised:
        run.train_and_evaluate(config(videos), workdir)
    assert (
        "train data: removed train/down/1.avi; changed train/right/0.avi, on which "
        f"rgb/{RUN}/guide_affine, rgb/{RUN}/hard_coded, flow/{RUN}/guide_affine"
    ) in str(raised.value)
    assert contents(workdir) == before


def test_more_components_than_training_frames_are_known_before(once, tmp_path, monkeypatch):
    monkeypatch.setattr("geoattn_jax.experiments.core.fitting.train", None)
    with pytest.raises(ConfigError, match=r"pooling\.components must be at most 16, .* have frames, got 17"):
        run.train_and_evaluate(config(once / "videos", pooling__components=17), tmp_path / "run")


def test_clips_in_which_nothing_moves_are_known_before(tmp_path, monkeypatch):
    monkeypatch.setattr("geoattn_jax.experiments.core.fitting.train", None)
    write_folder(tmp_path / "still", lambda name: (0, 0))
    with pytest.raises(ConfigError, match=r"nothing moves in the training clips \(seen at level general\)"):
        run.train_and_evaluate(config(tmp_path / "still"), tmp_path / "run")


def test_what_is_found_late_ends_in_one_line_and_can_be_mended(once, workdir, monkeypatch):
    fitted, before = six_streams.ClipPooling.fitted, trainings(workdir)

    def fails(train, *, components, kind):
        if kind == "rbf":
            raise ValueError("median_distance: the median distance is 0")
        return fitted(train, components=components, kind=kind)

    monkeypatch.setattr(six_streams.ClipPooling, "fitted", fails)
    with pytest.raises(ConfigError, match=r"the pooling of general, rgb cannot be computed \(median_dist"):
        run.train_and_evaluate(config(once / "videos"), workdir)
    run.train_and_evaluate(config(once / "videos", pooling__kind="correlation"), workdir)
    assert trainings(workdir) == before
