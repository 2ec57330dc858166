"""Two processes that work together train as one, killed or not; and how they are brought together."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import several_processes

from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.training import read_metrics
from geoattn_jax.training.processes import CoordinationError, join

ROOT = Path(__file__).parents[2]


def start(action, folder):
    command = [sys.executable, several_processes.__file__, action, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "tests", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_either_killed_and_both_started_again_end_as_the_uninterrupted_to_the_bit(tmp_path):
    digests = json.loads(start("crash", tmp_path).splitlines()[-1])["digests"]
    assert len(digests) == 4
    assert len(set(digests)) == 1
    rows = [
        [{**row, "seconds": None} for row in read_metrics(tmp_path / name / "run" / "metrics.jsonl")]
        for name in ("whole", "killed")
    ]
    assert rows[0] == rows[1]
    for name in ("results.json", "geoattn_jax.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def made(folder):
    """The metrics, the arrays and the pictures."""
    return sorted(
        path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".jsonl", ".npz", ".png")
    )


def test_two_processes_of_two_devices_train_as_one_of_four(tmp_path):
    """Paper A's two stages, a cell of Table 2, a level of the six streams on videos; pictures are drawn."""
    start("experiments", tmp_path)
    for name in several_processes.EXPERIMENTS:
        one, two = tmp_path / f"{name}-1", tmp_path / f"{name}-2"
        files = made(one)
        assert files == made(two)
        assert any(file.suffix == ".png" for file in files)
        for file in files:
            if file.suffix == ".jsonl":
                for row, other in zip(read_metrics(one / file), read_metrics(two / file), strict=True):
                    assert row.keys() == other.keys()
                    numbers = [[r[key] for key in r if key not in ("phase", "seconds")] for r in (row, other)]
                    np.testing.assert_allclose(*numbers, rtol=1e-6, atol=1e-6, err_msg=f"{name} {file}")
            elif file.suffix == ".npz":
                with np.load(one / file) as arrays, np.load(two / file) as others:
                    # 1e-6 of theta is 1e-5 pixels, over which grainy frames change by a few 1e-5.
                    for key in set(arrays) - {"seconds"}:
                        np.testing.assert_allclose(others[key], arrays[key], rtol=1e-4, atol=1e-4)
        rows = [read_results(folder / "results.json").rows for folder in (one, two)]
        means = [[row.mean for row in some] for some in rows]
        np.testing.assert_allclose(*means, rtol=1e-5, atol=1e-5, err_msg=name)
    device = read_results(tmp_path / "quickstart-2" / "results.json").provenance["device"]
    assert device.startswith("4 x ")
    assert device.endswith("in 2 processes")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("host:1", None, 0), "--coordinator, --process_id needs --num_processes as well; give all three"),
        ((None, 2, None), "--num_processes needs --coordinator and --process_id as well"),
        (("host", 2, 0), "--coordinator must be HOST:PORT, such as 10.0.0.1:1234, got 'host'"),
        (("host:1", 0, 0), "--num_processes must be at least 1, got 0"),
        (("host:1", 2, 2), "--process_id must be from 0 to 1 with --num_processes=2, got 2"),
    ],
)
def test_processes_that_cannot_be_brought_together(arguments, message):
    with pytest.raises(CoordinationError, match=message):
        join(*arguments)
