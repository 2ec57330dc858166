"""MPII Cooking from the download to Table 3's numbers, on a tiny copy: one command, two updates a phase."""

import experiments_tiny as tiny
import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets", reason="needs geoattn-jax[tfds]")
pytest.importorskip("array_record", reason="needs geoattn-jax[tfds]")
pytest.importorskip("cv2", reason="needs geoattn-jax[video]")

from mpii_files import moving_square, write_annotations, write_video

from geoattn_jax.experiments.six_streams import SixStreams; from geoattn_jax.experiments.fitting import Fitting
from geoattn_jax.training import read_results

CLASSES = {1: "Background activity", 3: "peel", 7: "cut dice"}


def write_download(folder):
    """Two subjects to train on and two to test on; what moves, and how, tells the classes."""
    rows = []
    for subject in (8, 10, 11, 12):
        name = f"s{subject:02d}-d02-cam-002"
        parts = [moving_square(4, (4 + subject, 8), step) for step in ((0, 0), (0, 4), (3, 0))]
        write_video(folder, name, np.concatenate(parts))
        for number, (category, what) in enumerate(CLASSES.items()):
            rows.append(f"{subject},{name},{4 * number + 1},{4 * number + 4},{category}, {what}")
    write_annotations(folder, rows, header=True)


def test_from_the_download_to_the_table(tmp_path):
    write_download(tmp_path / "download")
    config = tiny.load_config("table_b3_mpii")
    config.update_from_flattened_dict(
        {
            "data.size": "mini",
            "data.manual_dir": str(tmp_path / "download"),
            "data.data_dir": str(tmp_path / "prepared"),
            "scale": "mini",
            "localizer": "small",
            "levels": ("general",),
            "batch_size": 4,
            "sub_batches": 1,
            "models": ("sstn",),
            "evaluation_batch": 6,
            "pooling.components": 3,
            "evaluate_every": 2,
            **{f"{stream}.{phase}.updates": 2 for stream in ("rgb", "flow") for phase in ("guide", "joint")},
        }
    )
    rows = list(SixStreams.prepare(config).rows(Fitting(config, tmp_path / "workdir", True)))

    for row in rows: print(row)
