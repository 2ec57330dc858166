"""Temporal correlation pooling of many clips at once, against one clip after another in NumPy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.suite import OURS, Case, Contender, Suite
from geoattn_jax.descriptors import median_distance, temporal_correlation
from geoattn_jax.descriptors.similarity import RIDGE, Kind

METHOD = """\
`temporal_correlation` of 100 clips: 256 wandering features, as PCA gives them, over 10 to 200 frames, padded
to 200. A time of t ms means 100,000 / t clips per second.

- `geoattn_jax` takes all clips in one compiled program: float32 in and out, float64 in between.
- *NumPy loop* takes one clip after the other in float64, without padding, all operations on whole matrices.

On a CPU both spend most of the time of "rbf" in LAPACK's eigenvectors, one matrix after the other. LAPACK's
own threads stall on cores that others use, too: there set `OPENBLAS_NUM_THREADS=1`. The descriptors must
agree to 1e-6 of the largest number."""

WORKLOADS: dict[Kind, str] = {
    "rbf": "100 clips, the logarithm of the matrix of Gaussian similarities: the default",
    "euclidean": "100 clips, the matrix of distances as the paper prints it: everything but the logarithm",
}


@dataclass(frozen=True)
class Sizes:
    """How many clips and how large."""

    clips: int
    features: int
    least_frames: int
    most_frames: int


PAPER = Sizes(clips=100, features=256, least_frames=10, most_frames=200)
TINY = Sizes(clips=5, features=7, least_frames=1, most_frames=9)


@dataclass(frozen=True)
class Clips:
    """What all contenders pool.

    Attributes:
      trajectories: (clips, frames, features), float32; zero after each clip's end.
      lengths: frames of each clip.
      sigma: the median distance.
    """

    trajectories: np.ndarray
    lengths: np.ndarray
    sigma: float

    @classmethod
    def draw(cls, sizes: Sizes) -> "Clips":
        """Random walks about random places, the first features with the largest variance."""
        random = np.random.default_rng(0)
        shape = (sizes.clips, sizes.most_frames, sizes.features)
        lengths = random.integers(sizes.least_frames, sizes.most_frames + 1, sizes.clips)
        walks = random.standard_normal(shape).cumsum(axis=1) / np.sqrt(sizes.most_frames)
        places = random.standard_normal((sizes.clips, 1, sizes.features))
        scale = np.sqrt(np.arange(1, sizes.features + 1))
        held = np.arange(sizes.most_frames) < lengths[:, None]
        trajectories = np.where(held[:, :, None], (walks + places) / scale, 0).astype(np.float32)
        return cls(trajectories, lengths, median_distance(trajectories, lengths))


def cases(names: Sequence[Kind], smoke: bool) -> Iterator[Case]:
    """The cases of the named kinds; in tiny sizes if `smoke`."""
    clips = Clips.draw(TINY if smoke else PAPER)
    for name in names:
        contenders = [in_one_program(clips, name), one_after_another(clips, name)]
        yield Case(name, "pooling", contenders, tolerance=1e-6)


def in_one_program(clips: Clips, kind: Kind) -> Contender:
    """This package's."""
    trajectories, lengths = jnp.asarray(clips.trajectories), jnp.asarray(clips.lengths)

    def pool(trajectories: jax.Array, lengths: jax.Array) -> jax.Array:
        return temporal_correlation(trajectories, lengths, kind=kind, sigma=clips.sigma)

    compiled = jax.jit(pool).lower(trajectories, lengths).compile()
    return Contender(
        OURS,
        "descriptors",
        call=lambda: jax.block_until_ready(compiled(trajectories, lengths)),
        arrays=lambda descriptors: {"descriptors": np.asarray(descriptors)},
        temp_bytes=compiled.memory_analysis().temp_size_in_bytes,
    )


def one_after_another(clips: Clips, kind: Kind) -> Contender:
    """NumPy's."""

    def call() -> np.ndarray:
        held = [
            clip[:length].astype(np.float64)
            for clip, length in zip(clips.trajectories, clips.lengths, strict=True)
        ]
        return np.stack([_descriptor(clip / clips.sigma, kind) for clip in held])

    return Contender("NumPy loop", "descriptors", call, arrays=lambda result: {"descriptors": result})


def _descriptor(clip: np.ndarray, kind: Kind) -> np.ndarray:
    features = clip.shape[1]
    products = clip.T @ clip / len(clip)
    squares = np.diag(products)
    distances = np.maximum(squares[:, None] + squares - 2 * products, 0)
    if kind == "rbf":
        values, vectors = np.linalg.eigh(np.exp(-distances / 2) + RIDGE * np.eye(features))
        matrix = vectors * np.log(np.maximum(values, RIDGE)) @ vectors.T
    else:
        matrix = np.sqrt(distances)
    rows, columns = np.triu_indices(features)
    vector = matrix[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))
    return vector / np.linalg.norm(vector)


SUITE = Suite(title="Temporal correlation pooling", method=METHOD, workloads=WORKLOADS, cases=cases)
