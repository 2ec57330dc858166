"""MPII Cooking from the download to Table 3's numbers, on a tiny copy: one command, two updates a phase."""

import experiments_tiny as tiny
import jax
import numpy as np
import pytest
from clip_sources import NoisyClips

pytest.importorskip("tensorflow_datasets", reason="needs geoattn-jax[tfds]")
pytest.importorskip("array_record", reason="needs geoattn-jax[tfds]")
pytest.importorskip("cv2", reason="needs geoattn-jax[video]")

from mpii_files import moving_square, write_annotations, write_video

from geoattn_jax.data.levels import PAPER_LEVELS
from geoattn_jax.descriptors import mean_average_precision
from geoattn_jax.experiments import run
from geoattn_jax.experiments.core.combination import FinishedRun
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.experiments.table_3.checks import check
from geoattn_jax.experiments.table_3.combine_folds import scores_of
from geoattn_jax.experiments.table_3.experiment import streams_of
from geoattn_jax.experiments.table_3.plan import make_six_streams_plan
from geoattn_jax.training import stored_rows

# What they are called, and how a square moves meanwhile, (dy, dx) pixels a frame.
CATEGORIES = {1: ("Background activity", (0, 0)), 3: ("peel", (0, 4)), 7: ("cut dice", (3, 0))}
FRAMES = 4  # of each


def write_download(folder):
    """Two subjects to test on and two to train on, who do one thing after the other."""
    rows = []
    for subject in (8, 10, 11, 12):
        name = f"s{subject:02d}-d02-cam-002"
        start = (4 + subject, 8)
        parts = [moving_square(FRAMES, start, step) for _, step in CATEGORIES.values()]
        write_video(folder, name, np.concatenate(parts))
        for place, (category, (what, _)) in enumerate(CATEGORIES.items()):
            first, last = FRAMES * place + 1, FRAMES * (place + 1)
            rows.append(f"{subject},{name},{first},{last},{category}, {what}")
    write_annotations(folder, rows, header=True)


def tiny_config(folder):
    changes = {
        "data.stride": 2,
        "data.manual_dir": str(folder / "download"),
        "data.data_dir": str(folder / "prepared"),
        "levels": ("general",),
        "models": ("sstn",),
        "batch_size": 4,
        "evaluation_batch": 6,
        "pooling.components": 3,
        "evaluate_every": 2,
    }
    phases = ("guide.updates", "joint.updates.general")
    changes |= {f"{stream}.{phase}": 2 for stream in ("rgb", "flow") for phase in phases}
    config = tiny.load_config("table_b3_mpii_mini")
    config.update_from_flattened_dict(changes)
    return config


def test_from_the_download_to_the_table(tmp_path):
    workdir = tmp_path / "workdir"
    write_download(tmp_path / "download")
    run.train_and_evaluate(tiny_config(tmp_path), workdir)
    results = read_results(workdir / "results.json")
    rows = [row for row in results.rows if row.metric != "accuracy"]
    assert {(row.protocol, row.condition) for row in rows} == {
        (streams, level)
        for streams in ("spatial", "temporal", "spatial_temporal")
        for level in ("general", "late_fusion")
    }
    assert {row.metric for row in rows} == {"mean_average_precision"}
    assert all(1 / 6 < row.mean <= 1 for row in rows)
    assert rows[0].paper == 0.4173
    path = workdir / "flow" / "general" / "small" / "seed_0" / "features_test.npz"
    with stored_rows(path, dict) as features:
        lengths = features["lengths"].whole()
        assert lengths.tolist() == 2 * len(CATEGORIES) * [FRAMES // 2]
        assert len(features["sstn"].whole()) == lengths.sum()
    (scores,) = scores_of(FinishedRun(workdir, results))
    again = [mean_average_precision(*scores[row.protocol, row.condition, row.model]) for row in rows]
    np.testing.assert_allclose(again, [row.mean for row in rows])


def test_a_missing_download_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.data: (?s:.*)detectionGroundtruth-1-0\.csv"):
        run.train_and_evaluate(tiny_config(tmp_path), tmp_path / "workdir")
    assert not (tmp_path / "workdir").exists()


def test_the_papers_scale_by_its_shapes(tmp_path):
    """Twice VGG-16 takes gigabytes; what it would compute can be told without."""
    config = tiny.load_config("table_b3_mpii")
    fitting = Fitting(config, tmp_path, trains=True)
    check(config, fitting)
    assert (config.rgb.dropout.recognizer, config.flow.dropout.recognizer) == (0.85, 0.5)
    plan = make_six_streams_plan(config)
    streams = streams_of(config, plan, NoisyClips(), fitting)
    task = streams["detail", "flow"].task("vgg_16", mode="affine", start="centred")
    assert task.model.crop_hw == PAPER_LEVELS["detail"].crop_hw
    params = jax.eval_shape(lambda: task.initial(0))["params"]
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    more_channels = (20 - 3) * 3 * 3 * 64
    vgg_16_without_fc8 = 138_357_544 - 1000 * 4097 + more_channels
    assert sizes["localizer"] + sizes["transformer"] == vgg_16_without_fc8 + 6 * 4097
    assert sizes["recognizer"] == vgg_16_without_fc8 + len(NoisyClips.class_names) * 4097
