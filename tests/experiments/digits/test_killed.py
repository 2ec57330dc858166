"""A run killed with SIGKILL in every stage, again and again, ends as the uninterrupted one, to the bit.

The same holds where it then goes on under other settings, and is killed while the change is accepted.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.training import read_metrics

SCRIPT = Path(__file__).parents[2] / "experiments_crash.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stages = [stage for stage, _, _ in json.loads(done.stdout)["kills"]]
    assert {stage: stages.count(stage) for stage in stages} == {1: 5, 2: 5, 3: 5, 4: 2}
    return folder


@pytest.mark.parametrize("name", ["pretrain", "normal/lstm"])
def test_the_parameters_are_the_same(folder, name):
    digests, lines = [], []
    for run in ("whole", "killed"):
        training = folder / run / "lenet" / name
        record = training / "checkpoints" / "8" / "record" / "metadata"
        digests.append(json.loads(record.read_text())["digest"])  # of every bit; checked when it was read
        lines.append([{**row, "seconds": None} for row in read_metrics(training / "metrics.jsonl")])
    assert digests[0] == digests[1]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 8


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_features_are_the_same(folder, split):
    whole, killed = (
        np.load(folder / run / "lenet" / "normal" / f"{split}.npz") for run in ("whole", "killed")
    )
    for array in ("features", "labels"):
        assert whole[array].dtype == killed[array].dtype
        np.testing.assert_array_equal(whole[array], killed[array])


def test_the_results_are_the_same(folder):
    """Those that training wrote, those of the checkpoints, evaluated anew, and those under other settings."""
    whole, trained, evaluated = (
        read_results(folder / name) for name in ("whole.json", "trained.json", "killed.json")
    )
    assert whole.rows == trained.rows == evaluated.rows
    whole_changed, changed = (read_results(folder / name / "results.json") for name in ("whole", "killed"))
    assert whole_changed.rows == changed.rows != whole.rows
    assert whole_changed.config == changed.config != whole.config
    for path in (folder / "whole" / "figures").iterdir():
        assert path.read_bytes() == (folder / "killed" / "figures" / path.name).read_bytes()
    assert (folder / "whole" / "table.md").read_bytes() == (folder / "killed" / "table.md").read_bytes()
