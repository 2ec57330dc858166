"""Clips of noise, of different lengths; the hard-coded regions of any clips, from the flows they give."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from geoattn_jax.data.crops import crop
from geoattn_jax.data.flow import decode_flow
from geoattn_jax.data.regions import best_window, motion_map
from geoattn_jax.experiments.table_3.sources.protocol import CHANNELS

LENGTHS = {"train": (4, 2, 3, 1, 5), "validation": (2, 3), "test": (3, 1, 4)}


class NoisyClips:
    """A `ClipSource` in which every pixel depends on the clip and the time."""

    class_names = ("cut", "peel", "stir")
    class_groups: ClassVar = {"with_knife": (0, 1)}
    flow_bound = 4.0
    flow_method = "dis"

    def record(self, known):
        return {}

    def labels(self, split):
        return np.arange(len(LENGTHS[split])) % 3

    def lengths(self, split):
        return np.array(LENGTHS[split])

    def read(self, stream, frames, top_left):
        return self.pictures(stream, frames), self.windows(frames, top_left)

    def pictures(self, stream, frames):
        split, level, clips, times = frames
        assert all(0 <= time < LENGTHS[split][clip] for clip, time in zip(clips, times, strict=True))
        shape = (*level.frame_hw, CHANNELS[stream])
        return np.stack(
            [
                np.random.default_rng([len(split), len(stream), clip, time]).integers(0, 256, shape, np.uint8)
                for clip, time in zip(clips, times, strict=True)
            ]
        )

    def windows(self, frames, top_left):
        split, level, clips, times = frames
        places = 3 * clips + 5 * times + top_left[:, 1] + len(split)
        limits = np.array(level.crop_hw) - level.window_hw + 1
        return (places[:, None] % limits).astype(np.float32)


def motion_windows(stacks, top_left, *, level, bound):
    """The window with the most motion in each crop, of the encoded flows around its frame (b, h, w, c)."""
    flow = decode_flow(jnp.asarray(stacks).reshape(*stacks.shape[:3], -1, 2), bound=bound)
    motion = crop(motion_map(jnp.moveaxis(flow, 3, 1))[..., None], jnp.asarray(top_left), level.crop_hw)
    return best_window(motion[..., 0], level.window_hw)
