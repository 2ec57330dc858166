"""Run as a program: extracts, keeps, describes and classifies some clips, then four times as many; prints how
far the process's memory grew between, and how much was on the disk then; bytes."""

import contextlib
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from geoattn_jax.experiments.table_3.classifiers import Descriptors, level_scores
from geoattn_jax.experiments.table_3.descriptors import ClipFeatures, ClipPooling
from geoattn_jax.experiments.table_3.features import Trained, extract_features
from geoattn_jax.training import scattered, scattered_rows, stored_rows

FEATURES, BATCH = 1024, 60
NUMBERS = 30_000  # of a descriptor; more than pooling gives, so that they are what there is most of
LENGTHS = (10, 30, 7, 60)  # of every four clips in turn


class Frames:
    """Stands for a stream's frames: each is its number."""

    reads_ahead = 2

    def __init__(self, clips: int):
        self.lengths = np.resize(LENGTHS, clips)
        self.source = SimpleNamespace(lengths=lambda split: self.lengths)

    def num_frames(self, split):
        return int(self.lengths.sum())

    def every_frame(self, split, rows):
        return rows


class Recognizer:
    """Stands for a trained network: a few directions, and noise."""

    def __init__(self):
        self.directions = np.random.default_rng(0).random((4, FEATURES), np.float32)

    def features(self, variables, batch, region):
        rng = np.random.default_rng(int(batch[0]))
        noise = rng.random((len(batch), FEATURES), np.float32)
        return jnp.asarray(rng.random((len(batch), 4), np.float32) @ self.directions + 0.1 * noise)


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
            pooling = ClipPooling.fitted(pair[0], components=4, kind="rbf")
            for one in pair:
                assert sum(len(part.numbers) for part in pooling.pooled(one)) == len(one.lengths)


def classify(folder: Path, clips: int) -> int:
    """Bytes of the descriptors."""

    def drawn(count):
        for number in reversed(range(count)):
            yield np.array([number]), np.random.default_rng(number).random((1, NUMBERS), np.float32)

    with contextlib.ExitStack() as files:
        train, test = (
            files.enter_context(scattered_rows(folder / "rows", count, drawn(count)))
            for count in (clips, clips // 2)
        )
        streams = dict.fromkeys(("rgb", "flow"), Descriptors(train, test))
        scores = level_scores(streams, np.arange(clips) % 3, num_classes=3, c=1.0, where="noise")
        assert {one.shape for one in scores.values()} == {(clips // 2, 3)}
    return 4 * NUMBERS * (clips + clips // 2)


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    folder, clips = Path(sys.argv[1]), int(sys.argv[2])
    scattered.BYTES_AT_ONCE = 2**22
    describe(folder, clips)
    classify(folder, clips // 2)
    before = peak()
    describe(folder, 4 * clips)
    kept = classify(folder, 2 * clips) + (folder / f"train_{4 * clips}.npz").stat().st_size
    print(peak() - before, kept)
