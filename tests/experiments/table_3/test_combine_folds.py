"""The folds of MPII Cooking in one table: means over folds, and all test clips pooled."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from geoattn_jax.experiments.combine import main
from geoattn_jax.experiments.core.combination import CombineError, FinishedRun
from geoattn_jax.experiments.core.results import Results, write_results
from geoattn_jax.experiments.table_3 import combine_folds
from geoattn_jax.experiments.table_3.layout import tables
from geoattn_jax.experiments.table_3.scores import COMBINATIONS, FUSED, Scores, rows_of
from geoattn_jax.training import WorkdirError

CELLS = [
    (streams, level, model)
    for streams in COMBINATIONS
    for level in ("detail", FUSED)
    for model in ("sstn", "hard_coded")
]
CELL = ("temporal", FUSED, "sstn")


def scores_of_fold(fold):
    """Of three classes; the second has no clip in the first fold."""
    rng = np.random.default_rng(fold)
    labels = np.array([[0, 2, 2, 0], [1, 0, 2]][fold])
    return {cell: Scores(rng.normal(size=(len(labels), 3)), labels) for cell in CELLS}


def results_of(fold, **changes):
    config = {"seed": 0, "data": {"source": "mpii_cooking", "protocol": f"fold_{fold + 1}"}} | changes
    origin = {"commit": "abc", "seed": 0, "wall_seconds": 60.0 + fold}
    return Results("six_streams", config, origin, list(rows_of({}, [scores_of_fold(fold)])))


@pytest.fixture
def workdirs(tmp_path, monkeypatch):
    folders = [tmp_path / f"fold_{fold + 1}" for fold in range(2)]
    for fold, folder in enumerate(folders):
        folder.mkdir()
        write_results(folder, results_of(fold), tables=tables)
    monkeypatch.setattr(combine_folds, "scores_of", lambda run: [scores_of_fold(folders.index(run.workdir))])
    return folders


def test_means_over_folds_and_pooled_clips(tmp_path, workdirs):
    output = tmp_path / "table.json"
    assert main([*map(str, workdirs), "--output", str(output)]) == 0
    written = json.loads(output.read_text())
    assert written["config"]["data"]["protocol"] == ["fold_1", "fold_2"]
    assert written["provenance"]["wall_seconds"] == 121
    rows = {(row["metric"], row["protocol"], row["condition"], row["model"]): row for row in written["rows"]}
    assert len(rows) == len(written["rows"]) == 3 * len(CELLS)

    folds = [scores_of_fold(fold)[CELL] for fold in range(2)]
    per_fold = [
        np.mean([average_precision_score(labels == label, values[:, label]) for label in np.unique(labels)])
        for values, labels in folds
    ]
    row = rows["mean_average_precision", *CELL]
    assert row["mean"] == pytest.approx(np.mean(per_fold))
    assert (row["std"], row["n"]) == (pytest.approx(np.std(per_fold)), 2)

    values, labels = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    pooled = [average_precision_score(labels == label, values[:, label]) for label in range(3)]
    row = rows["pooled_mean_average_precision", *CELL]
    assert row["mean"] == pytest.approx(np.mean(pooled))
    assert (row["n"], row["paper"]) == (1, 0.6083)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (results_of(0), "must have different seeds"),
        (results_of(1, data={"protocol": "fixed"}), "must be different folds"),
        (results_of(1, seed=3), "must have the same config"),
    ],
)
def test_other_runs_are_refused(other, what):
    with pytest.raises(CombineError, match=what):
        combine_folds.combine_streams([FinishedRun(Path("nowhere"), one) for one in (results_of(0), other)])


def test_results_of_an_earlier_config_are_refused(tmp_path):
    (tmp_path / "geoattn_jax.json").write_text('{"format": 1, "config": {"svm_c": 2.0}}')
    with pytest.raises(WorkdirError, match=r"given another config after its results\.json was written"):
        combine_folds.scores_of(FinishedRun(tmp_path, results_of(0)))


def test_an_unfinished_run_is_named(tmp_path, workdirs, capsys):
    (workdirs[1] / "results.json").unlink()
    assert main([*map(str, workdirs), "--output", str(tmp_path / "table.json")]) == 1
    assert "fold_2" in capsys.readouterr().err
