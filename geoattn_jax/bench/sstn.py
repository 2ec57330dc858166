"""A step of the SSTN's joint training at the paper's scale: what is compiled and what is run on a GPU."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.steps import SEED, training_step
from geoattn_jax.bench.suite import Case
from geoattn_jax.data.levels import LEVELS, PAPER_LEVELS, Level
from geoattn_jax.experiments.attention.networks import network
from geoattn_jax.experiments.attention.samples import Samples
from geoattn_jax.experiments.attention.task import AttentionTask
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.training import Phase
from geoattn_jax.training.devices import Rows
from geoattn_jax.training.optimizers import OPTIMIZERS

BATCH, SUB_BATCH = 128, 8


@dataclass(frozen=True)
class BlankFrames:
    """Samples of which only the shapes matter.

    Attributes:
      level: at whose sizes.
    """

    level: Level
    channels = 3
    num_classes = 64
    panel_hw = None

    reads_ahead = 0

    def training(self, draw: tuple[int, int, int], batch_size: int, rows: Rows) -> Samples:
        """The same ones for every draw."""
        del draw, batch_size
        count = len(rows)
        return Samples(
            frames=jnp.zeros((count, *self.level.frame_hw, self.channels)),
            top_left=jnp.zeros((count, 2), jnp.int32),
            theta_2=jnp.zeros((count, 2, 3)),
            hand=jnp.zeros((count, 2)),
            panel=jnp.zeros((count, 2)),
            labels=jnp.zeros(count, jnp.int32),
            clips=jnp.zeros(count, jnp.int32),
            times=jnp.zeros(count, jnp.int32),
        )

    def num_samples(self, split: str) -> int:
        """None: these are for training steps."""
        del split
        return 0

    def evaluation(self, split: str, rows: Rows) -> Samples:
        """Blank ones, too."""
        del split
        return self.training((0, 0, 0), len(rows), rows)

    def prepare(self, batch: Samples) -> Samples:
        """Nothing is left to do."""
        return batch


def joint_phase(
    computation: Mapping[str, Any], *, sub_batch: int = SUB_BATCH, tiny: bool = False
) -> tuple[AttentionTask, Phase]:
    """Joint training at the detail level by the paper's rates, of two VGG-16; a step is a sub-batch of 128.

    Args:
      computation: the networks' `dtype` and `remat`.
      sub_batch: frames in a step.
      tiny: whether to take KitchenMini's sizes and small networks instead.
    """
    level, name = (LEVELS["detail"], "small") if tiny else (PAPER_LEVELS["detail"], "vgg_16")
    task = AttentionTask(
        model=SSTN(
            network(name, dropout_rate=0.5, **computation),
            network(name, BlankFrames.num_classes, dropout_rate=0.85, **computation),
            crop_hw=level.crop_hw,
            region_hw=level.window_hw,
        ),
        frames=BlankFrames(level),
        batch_size=BATCH,
        sub_batches=BATCH // sub_batch,
        evaluation_batch=sub_batch,
        optimizer=OPTIMIZERS["momentum"],
    )
    phase = task.joint(
        updates=1,
        region="attended",
        localizer_rate=1e-6,
        recognizer_rate=1e-5,
        schedule="cosine",
        evaluate_every=1,
    )
    return task, phase


def cases(names: Sequence[str], smoke: bool, dtype: str = "float32") -> Iterator[Case]:
    """The one step, in bfloat16 rematerialized, too; in tiny sizes if `smoke`."""
    modes = {"training step": False}
    if dtype == "bfloat16":
        modes["training step, rematerialized"] = True
    for name in names:
        for mode, remat in modes.items():
            computation = {"dtype": dtype, "remat": remat}
            task, phase = joint_phase(computation, sub_batch=2 if smoke else SUB_BATCH, tiny=smoke)
            sub_batch = phase.batch_size // phase.sub_batches
            step = training_step(
                phase, phase.batch(SEED, 0, np.arange(sub_batch)), task.initial(SEED)["params"]
            )
            yield Case(name, mode, [step])
