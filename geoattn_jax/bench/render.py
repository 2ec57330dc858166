"""How fast moving digits and kitchen scenes are rendered."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Suite
from geoattn_jax.data.digits import digit_pool, load_digits
from geoattn_jax.data.kitchen import KitchenMini, render_clips
from geoattn_jax.data.moving_digits import MovingDigits, render_videos

SEED = 0
FRAMES = 1000
FRAMES_PER_SECOND = 30_000

METHOD = """\
Drawing the scenes and rendering them in one compiled program:

- `render_videos` of 20 videos of 50 frames, 64x64 pixels, two digits of scikit-learn's;
- `render_clips` of 100 clips of 10 frames, colours and flow, at each level of attention."""

DIGITS = {
    "normal": "1,000 frames of digits that move",
    "rotation_scaling": "1,000 frames of digits that also turn and grow",
    "elastic": "1,000 frames of these, bent by elastic fields",
}
KITCHENS = {
    "detail": "1,000 frames of KitchenMini at 170x128, with the flow to the next",
    "middle": "1,000 frames and flows at 85x64, scaled down from the detail level's",
    "general": "1,000 frames and flows at 49x37, scaled down from the detail level's",
}
WORKLOADS = DIGITS | KITCHENS


def cases(names: Sequence[str], smoke: bool) -> Iterator[Case]:
    """The cases of the named workloads; with fewer and smaller frames, and without goals, if `smoke`."""
    at_most = 1e3 * FRAMES / FRAMES_PER_SECOND
    goal = Goal(at_most, note=f"{FRAMES_PER_SECOND:,} frames/s", measure="milliseconds")
    for name in names:
        renders = _digits if name in DIGITS else _kitchen
        yield Case(name, "rendering", [renders(name, smoke)], [goal] if name in DIGITS and not smoke else [])


def _digits(name: str, smoke: bool) -> Contender:
    video = MovingDigits(name, "new_motion", "train", frame_size=16 if smoke else 64)
    pool = digit_pool(load_digits("sklearn", "train"), frame_size=video.frame_size)
    indices = jnp.arange(2 if smoke else FRAMES // video.num_frames)
    return _contender(render_videos.lower(video, pool, SEED, indices).compile(), pool, SEED, indices)


def _kitchen(name: str, smoke: bool) -> Contender:
    kitchen = KitchenMini("train", name)
    indices = jnp.arange(1 if smoke else FRAMES // kitchen.num_frames)
    return _contender(render_clips.lower(kitchen, SEED, indices).compile(), SEED, indices)


def _contender(compiled: jax.stages.Compiled, *arguments: Any) -> Contender:
    def call() -> Any:
        return jax.block_until_ready(compiled(*arguments))

    return Contender(
        OURS,
        "videos",
        call,
        arrays=lambda videos: {"frames": np.asarray(videos.frames)},
        temp_bytes=compiled.memory_analysis().temp_size_in_bytes,
    )


SUITE = Suite(title="Rendering", method=METHOD, workloads=WORKLOADS, cases=cases)
