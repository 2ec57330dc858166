"""What a workdir's trainings and stages took: read from files that are larger than the memory."""

import json
import os
import subprocess
import sys

import little_memory
import numpy as np
import pytest

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.training import WorkdirError, stored_rows

ALLOWED = 128 << 20  # bytes


def write_stages(folder, rows):
    (folder / "rgb" / "sstn").mkdir(parents=True)
    lines = [{"step": step, "seconds": 0.25 * step} for step in range(1, 9)]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "rgb" / "sstn" / "metrics.jsonl").write_text(content)
    # Compressed, so that the file is small and its array is not.
    large = folder / "rgb" / "features_train.npz"
    np.savez_compressed(large, features=np.zeros((rows, 1 << 20), np.int8), seconds=np.array(16.5))
    with stored_rows(folder / "flow" / "features_test.npz", lambda: [{"one": np.zeros((3, 2))}]):
        pass
    return large


def test_seconds_are_read_without_the_features(tmp_path):
    large = write_stages(tmp_path, 2 * ALLOWED >> 20)
    command = [sys.executable, little_memory.__file__, str(tmp_path), str(ALLOWED), str(large)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds, whole = done.stdout.splitlines()
    assert float(seconds) == pytest.approx(2 + 16.5, abs=1)  # and of the second stage a moment
    assert whole == "too large"


def test_a_stage_without_seconds_is_named(tmp_path):
    write_stages(tmp_path, 1)
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    with pytest.raises(WorkdirError, match=r"other\.npz is damaged .*seconds"):
        Fitting(Config(), tmp_path, trains=False).seconds()
