"""A few frames of noise for the attention task, the same ones again and again."""

import jax
import jax.numpy as jnp
import numpy as np
from variables import normal

from geoattn_jax import crop_theta
from geoattn_jax.data.levels import Level
from geoattn_jax.experiments.attention.samples import Samples

CLASSES = 5
LEVEL = Level("middle", frame_hw=(12, 23), crop_hw=(12, 12), window_hw=(6, 6), max_pool=2)


def samples(count):
    """The first ones of them; the first has no hand, the first two no panel."""
    window = jnp.asarray(np.random.default_rng(7).integers(0, 6, (count, 2)), jnp.float32)
    return Samples(
        frames=normal(0, count, *LEVEL.frame_hw, 3),
        top_left=jnp.asarray([[0, n % 11] for n in range(count)], jnp.int32),
        theta_2=crop_theta(window, LEVEL.window_hw, input_hw=LEVEL.crop_hw),
        hand=jnp.asarray(window + 4).at[0].set(jnp.nan),
        panel=jnp.asarray(window + 5).at[:2].set(jnp.nan),
        labels=jnp.arange(count, dtype=jnp.int32) % CLASSES,
        clips=jnp.arange(count, dtype=jnp.int32),
        times=jnp.zeros(count, jnp.int32),
    )


class FixedFrames:
    """Training repeats three frames; there are nine to evaluate."""

    level, channels, num_classes = LEVEL, 3, CLASSES
    panel_hw = (5.0, 4.0)
    reads_ahead = 0

    def __init__(self):
        self.three = samples(3)

    def training(self, draw, batch_size, rows):
        del draw, batch_size
        return jax.tree.map(lambda leaf: leaf[rows % 3], self.three)

    def num_samples(self, split):
        assert split == "validation"
        return 9

    def evaluation(self, split, rows):
        assert split == "validation"
        return jax.tree.map(lambda leaf: leaf[rows], samples(9))

    def prepare(self, batch):
        return batch
