"""How fast optical flow is computed from a video's frames."""

from collections.abc import Iterator, Sequence

import numpy as np

from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Suite
from geoattn_jax.data.flow import FlowMethod, compute_flow
from geoattn_jax.data.kitchen import KitchenMini, render_clips

SEED = 0
FRAMES = 60
FRAMES_PER_SECOND = {"dis": 100, "farneback": 50}

METHOD = """\
`compute_flow` of 60 frames of KitchenMini, 128x170 pixels, on the host: OpenCV does the work, with as many
threads as there are cores."""

WORKLOADS: dict[FlowMethod, str] = {
    "dis": "OpenCV's DIS, preset medium, the default",
    "farneback": "OpenCV's Farneback, with the settings of its examples",
}


def cases(names: Sequence[str], smoke: bool) -> Iterator[Case]:
    """The cases of the named methods; of a few frames, and without goals, if `smoke`."""
    for name in names:
        count = 3 if smoke else FRAMES
        clips = render_clips(KitchenMini("train"), SEED, np.arange(-(-count // 10), dtype=np.int32))
        frames = np.round(255 * np.concatenate(np.asarray(clips.frames)))[:count].astype(np.uint8)

        def call(name=name, frames=frames) -> np.ndarray:
            return compute_flow(frames, method=name)

        contender = Contender(OURS, "flow", call, arrays=lambda flow: {"flow": flow})
        at_most = 1e3 * FRAMES / FRAMES_PER_SECOND[name]
        goal = Goal(at_most, note=f"{FRAMES_PER_SECOND[name]} frames/s", measure="milliseconds")
        yield Case(name, "flow", [contender], [] if smoke else [goal])


SUITE = Suite(title="Optical flow", method=METHOD, workloads=WORKLOADS, cases=cases)
