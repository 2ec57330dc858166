"""Run as a program: extracts, keeps and describes some clips, then four times as many; prints how far the
process's memory grew between, bytes."""

import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from geoattn_jax.experiments.table_3.descriptors import ClipFeatures, describe_clips
from geoattn_jax.experiments.table_3.features import Trained, extract_features
from geoattn_jax.training import stored_rows

FEATURES, BATCH = 1024, 60
LENGTHS = (10, 30, 7, 60)  # of every four clips in turn


class Frames:
    """Stands for a stream's frames: those of a batch are the number of the first."""

    def __init__(self, clips: int):
        self.lengths = np.resize(LENGTHS, clips)
        self.source = SimpleNamespace(lengths=lambda split: self.lengths)

    def num_frames(self, split):
        return int(self.lengths.sum())

    def every_frame(self, split, rows):
        return rows[0]

    def prepare(self, raw):
        return raw


class Recognizer:
    """Stands for a trained network: a few directions, and noise."""

    def __init__(self):
        self.directions = np.random.default_rng(0).random((4, FEATURES), np.float32)

    def features(self, variables, batch, region):
        rng = np.random.default_rng(int(batch))
        noise = rng.random((BATCH, FEATURES), np.float32)
        return rng.random((BATCH, 4), np.float32) @ self.directions + 0.1 * noise


def describe(folder: Path, clips: int) -> None:
    models = {name: Trained(Recognizer(), {}, "attended") for name in ("sstn", "hard_coded")}

    def features(split, count, keeps):
        path = folder / f"{split}_{clips}.npz"
        frames = Frames(count)
        return stored_rows(
            path, lambda: extract_features(frames, split, models, batch_size=BATCH), keeps=keeps
        )

    with features("train", clips, True) as train, features("test", clips // 2, False) as test:
        for name in models:
            pair = [ClipFeatures(split[name], split["lengths"].whole()) for split in (train, test)]
            found = describe_clips(*pair, components=4, kind="rbf")
            assert [descriptors.shape for descriptors in found] == [(clips, 10), (clips // 2, 10)]


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    folder, clips = Path(sys.argv[1]), int(sys.argv[2])
    describe(folder, clips)
    before = peak()
    describe(folder, 4 * clips)
    print(peak() - before, (folder / f"train_{4 * clips}.npz").stat().st_size)
