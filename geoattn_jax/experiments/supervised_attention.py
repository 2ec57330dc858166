"""Paper B's first experiment: spatial transformers, freely initialized and supervised, at three levels.

Liu, Wang & Kato 2019, Table 2, on KitchenMini. For each level and localizer, in folders of the workdir:
`LEVEL/LOCALIZER/RUN/guide_MODE` (regressive guiding and the recognizer's pretraining) and
`LEVEL/LOCALIZER/RUN/MODEL` (joint training); `LEVEL/windows_SPLIT.npz` holds the hard-coded regions.
"""

import dataclasses
import functools
import logging
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
from jaxtyping import Bool

from geoattn_jax.data.kitchen import CLASS_GROUPS, CLASS_NAMES, KitchenMini
from geoattn_jax.data.levels import LEVEL_NAMES, LEVELS, PAPER_LEVELS, Level, LevelName
from geoattn_jax.experiments import config as rules
from geoattn_jax.experiments.config import Config, ConfigError, Rule
from geoattn_jax.experiments.fitting import Fitting
from geoattn_jax.experiments.guiding import CROPS, AttentionTask, Outcome, Region
from geoattn_jax.experiments.kitchen_frames import (
    Frames,
    Samples,
    evaluation_samples,
    find_windows,
    render_pool,
    training_samples,
)
from geoattn_jax.experiments.paper_b import printed
from geoattn_jax.experiments.theta_probe import class_from_theta
from geoattn_jax.layers.spatial_transformer import ThetaMode
from geoattn_jax.models.small import LOCALIZERS, RECOGNIZER
from geoattn_jax.models.sstn import SSTN, ThetaStart
from geoattn_jax.models.vgg import VGG16, VGGF, VGGM
from geoattn_jax.training import Row, cached_arrays
from geoattn_jax.training.parallel import PARALLELISMS
from geoattn_jax.training.phase import Params

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Model:
    """A column of the table.

    Attributes:
      mode: which transformations theta can be.
      start: how the theta layer starts.
      guided: whether the localizer starts joint training guided, or as initialized.
      joint: whether there is joint training at all.
      region: what the recognizer sees; "hard_coded" and "hand" are controls without a localizer.
    """

    mode: ThetaMode = "affine"
    start: ThetaStart = "centred"
    guided: bool = True
    joint: bool = True
    region: Region = "attended"


MODELS = {
    "stn_default": Model(start="default", guided=False),
    "stn_small": Model(start="small", guided=False),
    "stn_centred": Model(guided=False),
    "sstn_guided": Model(joint=False),
    "sstn": Model(),
    "sstn_translation_guided": Model(mode="translation", joint=False),
    "sstn_translation": Model(mode="translation"),
    "hard_coded": Model(region="hard_coded"),
    "oracle": Model(region="hand"),
}
SCALES = ("mini", "paper")
SIZES = tuple(LOCALIZERS)  # "small", "middle", "large": VGG-F, VGG-M and VGG-16 at the paper's scale
OPTIMIZERS = {
    "adam": partial(optax.adam, b1=0.9, b2=0.99),
    "momentum": partial(optax.sgd, momentum=0.9),
}

RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["supervised_attention"]),
    "seed": rules.whole(0, 2**30),
    "runs": rules.whole(1),
    "world_seed": rules.whole(0, 2**31 - 1),
    "scale": rules.one_of(SCALES),
    "levels": rules.some_of(LEVEL_NAMES),
    "localizers": rules.some_of(SIZES),
    "models": rules.some_of(MODELS),
    # At least one clip of every class and subject.
    **{f"clips.{split}": rules.whole(14 * len(KitchenMini(split).subjects)) for split in ("train", "validation", "test")},
    "frames_per_clip": rules.whole(1, 10),
    "batch_size": rules.whole(1),
    "sub_batches": rules.whole(1),
    "evaluation_batch": rules.whole(1),
    "optimizer": rules.one_of(OPTIMIZERS),
    "dropout.localizer": rules.fraction(),
    "dropout.recognizer": rules.fraction(),
    "guide.updates": rules.whole(1),
    "guide.crops": rules.one_of(CROPS),
    "guide.localizer_rate": rules.positive(),
    "guide.recognizer_rate": rules.positive(),
    "joint.updates": rules.whole(1),
    "joint.localizer_rate": rules.positive(),
    "joint.translation_rate": rules.positive(),
    "joint.recognizer_rate": rules.positive(),
    "evaluate_every": rules.whole(1),
    "parallel": rules.one_of(PARALLELISMS),
    "log_every": rules.whole(1),
    "checkpoint_every": rules.whole(1),
    "tensorboard": rules.boolean(),
}


def kitchen_config() -> Config:
    """Settings for KitchenMini, from which the files in configs/ depart."""
    return Config(
        {
            "experiment": "supervised_attention",
            "seed": 0,
            "runs": 3,
            "world_seed": 0,
            "scale": "mini",
            "levels": LEVEL_NAMES,
            "localizers": SIZES,
            "models": tuple(MODELS),
            "clips": {"train": 3360, "validation": 420, "test": 1260},
            "frames_per_clip": 3,
            "batch_size": 64,
            "sub_batches": 1,
            "evaluation_batch": 60,
            "optimizer": "adam",
            "dropout": {"localizer": 0.0, "recognizer": 0.5},
            "guide": {
                "updates": 1000,
                "crops": "jittered",
                "localizer_rate": 1e-3,
                "recognizer_rate": 1e-3,
            },
            "joint": {
                "updates": 1000,
                "localizer_rate": 1e-4,
                "translation_rate": 3e-4,
                "recognizer_rate": 5e-4,
            },
            "evaluate_every": 100,
            "parallel": "jit",
            "log_every": 10,
            "checkpoint_every": 500,
            "tensorboard": False,
        }
    )
