"""How fast moving digits are rendered."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Suite
from geoattn_jax.data.digits import digit_pool, load_digits
from geoattn_jax.data.moving_digits import MovingDigits, render_videos

SEED = 0
FRAMES = 1000
FRAMES_PER_SECOND = 30_000

METHOD = """\
`render_videos` of 20 videos of 50 frames, 64x64 pixels, two digits of scikit-learn's: drawing the scenes and
rendering them in one compiled program."""

WORKLOADS = {
    "normal": "1,000 frames of digits that move",
    "rotation_scaling": "1,000 frames of digits that also turn and grow",
    "elastic": "1,000 frames of these, bent by elastic fields",
}


def cases(names: Sequence[str], smoke: bool) -> Iterator[Case]:
    """The cases of the named conditions; with fewer and smaller frames, and without goals, if `smoke`."""
    for name in names:
        video = MovingDigits(name, "new_motion", "train", frame_size=16 if smoke else 64)
        pool = digit_pool(load_digits("sklearn", "train"), frame_size=video.frame_size)
        indices = jnp.arange(2 if smoke else FRAMES // video.num_frames)
        compiled = render_videos.lower(video, pool, SEED, indices).compile()

        def call(compiled=compiled, pool=pool, indices=indices) -> jax.Array:
            return jax.block_until_ready(compiled(pool, SEED, indices).frames)

        contender = Contender(
            OURS,
            "videos",
            call,
            arrays=lambda frames: {"frames": np.asarray(frames)},
            temp_bytes=compiled.memory_analysis().temp_size_in_bytes,
        )
        at_most = 1e3 * FRAMES / FRAMES_PER_SECOND
        goal = Goal(at_most, note=f"{FRAMES_PER_SECOND:,} frames/s", measure="milliseconds")
        yield Case(name, "rendering", [contender], [] if smoke else [goal])


SUITE = Suite(title="Rendering", method=METHOD, workloads=WORKLOADS, cases=cases)
