"""The settings of the attention task's trainings that both tables of paper B have, besides `PHASES`."""

from typing import Any

from geoattn_jax.data.kitchen import CLASS_NAMES, SUBJECTS
from geoattn_jax.data.levels import LEVEL_NAMES
from geoattn_jax.data.splits import SPLITS
from geoattn_jax.experiments.attention.networks import NETWORKS
from geoattn_jax.experiments.attention.published_weights import WEIGHTS_RULES, no_weights
from geoattn_jax.experiments.attention.trainings import SCALES
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import SUB_BATCHES, Rule
from geoattn_jax.training.optimizers import OPTIMIZERS

TRAININGS: dict[str, Rule] = {
    "seed": rules.whole(0, 2**30).saying("of the first run; every further run has the next one"),
    "runs": rules.whole(1).saying("trainings of every cell, each with a seed of its own"),
    "scale": rules.one_of(SCALES).saying("sizes of frames, crops and regions: KitchenMini's or the paper's"),
    "levels": rules.some_of(LEVEL_NAMES).saying("how closely the networks look"),
    "recognizer": rules.one_of(NETWORKS).saying("the network that classifies the region"),
    "batch_size": rules.whole(1).saying("frames in an update"),
    "sub_batches": rules.whole(1).saying(SUB_BATCHES),
    "evaluation_batch": rules.whole(1).saying("frames that a device evaluates at a time"),
    "optimizer": rules.one_of(OPTIMIZERS).saying("of both phases"),
    **WEIGHTS_RULES,
    "evaluate_every": rules.whole(1).saying("updates from one validation accuracy to the next"),
    **rules.DTYPE,
    **rules.RUNNING,
}

# Of KitchenMini: every class and subject of a split at least once.
KITCHEN_CLIPS: dict[str, Rule] = {
    f"clips.{split}": rules.whole(len(CLASS_NAMES) * len(SUBJECTS[split])).saying("clips of this split")
    for split in SPLITS
}


def training_defaults() -> dict[str, Any]:
    """A config's values of those keys that both tables give the same."""
    return {
        "dtype": "float32",
        "batch_size": 32,
        "sub_batches": 1,
        "evaluation_batch": 60,
        "optimizer": "adam",
        "weights": no_weights(),
        **rules.running_defaults(),
    }
