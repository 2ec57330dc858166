"""Paper B's first experiment: spatial transformers, freely initialized and supervised, at three levels.

Liu, Wang & Kato 2019, Table 2, on KitchenMini. For each level and localizer, in folders of the workdir:
`LEVEL/LOCALIZER/seed_N/guide_MODE` (regressive guiding and the recognizer's pretraining) and
`LEVEL/LOCALIZER/seed_N/MODEL` (joint training); `LEVEL/windows_SPLIT.npz` holds the hard-coded regions.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence

import numpy as np

from geoattn_jax.data.kitchen import CLASS_NAMES, SUBJECTS
from geoattn_jax.data.levels import LEVEL_NAMES, LevelName
from geoattn_jax.data.splits import SPLITS
from geoattn_jax.experiments.attention.control_regions import CROPS
from geoattn_jax.experiments.attention.networks import NETWORKS, check_networks
from geoattn_jax.experiments.attention.published_weights import WEIGHTS_RULES, check_weights, no_weights
from geoattn_jax.experiments.attention.trainings import (
    MODELS,
    SCALES,
    AttentionLevel,
)
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError, Rule
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_2.frames import KitchenFrames
from geoattn_jax.experiments.table_2.numbers import Numbers, numbers_of
from geoattn_jax.experiments.table_2.published import printed
from geoattn_jax.training import Row
from geoattn_jax.training.optimizers import OPTIMIZERS
from geoattn_jax.training.parallel import PARALLELISMS
from geoattn_jax.training.schedules import SCHEDULES

_log = logging.getLogger(__name__)


OF_TABLE_2 = ("stn_default", "sstn_guided", "sstn")
WITH_CONTROLS = ("stn_default", "stn_centred", "sstn_guided", "sstn", "hard_coded", "oracle")
EACH_ONCE = {split: len(CLASS_NAMES) * len(SUBJECTS[split]) for split in SPLITS}  # every class and subject

RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["supervised_attention"]),
    "seed": rules.whole(0, 2**30),
    "runs": rules.whole(1),
    "world_seed": rules.whole(0, 2**31 - 1),
    "scale": rules.one_of(SCALES),
    "levels": rules.some_of(LEVEL_NAMES),
    "localizers": rules.some_of(NETWORKS),
    "recognizer": rules.one_of(NETWORKS),
    **{f"models.{level}.{name}": rules.some_of(MODELS) for level in LEVEL_NAMES for name in NETWORKS},
    **{f"clips.{split}": rules.whole(clips) for split, clips in EACH_ONCE.items()},
    "frames_per_clip": rules.whole(1, 10),
    "batch_size": rules.whole(1),
    "sub_batches": rules.whole(1),
    "evaluation_batch": rules.whole(1),
    "optimizer": rules.one_of(OPTIMIZERS),
    **WEIGHTS_RULES,
    "dropout.localizer": rules.share(),
    "dropout.recognizer": rules.share(),
    "guide.updates": rules.whole(1),
    "guide.crops": rules.one_of(CROPS),
    "guide.localizer_rate": rules.positive(),
    "guide.recognizer_rate": rules.positive(),
    "guide.schedule": rules.one_of(SCHEDULES),
    **{f"joint.updates.{level}": rules.whole(1) for level in LEVEL_NAMES},
    **{f"joint.localizer_rate.{level}": rules.positive() for level in LEVEL_NAMES},
    "joint.recognizer_rate": rules.positive(),
    "joint.schedule": rules.one_of(SCHEDULES),
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
            "localizers": ("small", "medium", "large"),
            "recognizer": "small_wide",
            "models": {
                level: {**dict.fromkeys(NETWORKS, OF_TABLE_2), "small": more}
                for level, more in (
                    ("detail", tuple(MODELS)),
                    ("middle", WITH_CONTROLS),
                    ("general", WITH_CONTROLS),
                )
            },
            "clips": {"train": 3360, "validation": 420, "test": 1260},
            "frames_per_clip": 3,
            "batch_size": 32,
            "sub_batches": 1,
            "evaluation_batch": 60,
            "optimizer": "adam",
            "weights": no_weights(),
            "dropout": {"localizer": 0.0, "recognizer": 0.5},
            "guide": {
                "updates": 1000,
                "crops": "jittered",
                "localizer_rate": 1e-3,
                "recognizer_rate": 1e-3,
                "schedule": "cosine",
            },
            "joint": {
                # The more general the level, the fewer pixels is a unit of theta.
                "updates": {"detail": 1500, "middle": 1000, "general": 1000},
                "localizer_rate": {"detail": 2e-4, "middle": 3e-4, "general": 1e-3},
                "recognizer_rate": 5e-4,
                "schedule": "cosine",
            },
            "evaluate_every": 200,
            "parallel": "jit",
            "log_every": 10,
            "checkpoint_every": 500,
            "tensorboard": False,
        }
    )


@dataclasses.dataclass(frozen=True)
class SupervisedAttention:
    """The experiment of one config.

    Attributes:
      config: checked.
    """

    config: Config
    _levels: dict[LevelName, AttentionLevel] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @classmethod
    def prepare(cls, config: Config) -> "SupervisedAttention":
        """Checks a config.

        Raises: ConfigError naming the key.
        """
        rules.check_config(config, RULES)
        if config.batch_size % config.sub_batches:
            raise ConfigError(
                f"config.sub_batches must divide config.batch_size={config.batch_size}, "
                f"got {config.sub_batches}"
            )
        check_weights(config, config.localizers)
        levels = [SCALES[config.scale][name] for name in config.levels]
        check_networks({"localizers": config.localizers, "recognizer": [config.recognizer]}, levels)
        return cls(config)

    def level(self, name: LevelName, fitting: Fitting) -> AttentionLevel:
        """The trainings of a level; its frames are rendered once."""
        if name not in self._levels:
            frames = kitchen_frames(self.config, name, fitting)
            self._levels[name] = AttentionLevel(self.config, frames, fitting)
        return self._levels[name]

    def rows(self, fitting: Fitting) -> Iterator[Row]:
        """Trains what `fitting` has not trained yet and evaluates it."""
        config = self.config
        seeds = range(config.seed, config.seed + config.runs)
        cells = [
            (name, localizer, model)
            for name in config.levels
            for localizer in config.localizers
            for model in config.models[name][localizer]
        ]
        for (name, localizer, model), seed in itertools.product(cells, seeds):
            fitting.require_finished(self.level(name, fitting).steps(localizer, model, seed))
        for name, localizer, model in cells:
            level, runs = self.level(name, fitting), []
            for seed in seeds:
                runs.append(numbers_of(level, localizer, model, seed))
                accuracy = runs[-1]["unseen_subjects", "accuracy"]
                _log.info("%s, %s, %s, seed %d: %.1f%%", name, localizer, model, seed, 100 * accuracy)
            yield from rows_of(name, localizer, model, runs)


def kitchen_frames(config: Config, name: LevelName, fitting: Fitting) -> KitchenFrames:
    """KitchenMini's frames at the level of that name, at the config's scale."""
    return KitchenFrames(
        level=SCALES[config.scale][name],
        seed=config.world_seed,
        num_clips=config.clips.to_dict(),
        frames_per_clip=config.frames_per_clip,
        folder=fitting.workdir / name,
    )


def rows_of(level: LevelName, localizer: str, model: str, runs: Sequence[Numbers]) -> Iterator[Row]:
    """A cell's rows, from the numbers of all its runs."""
    for protocol, metric in runs[0]:
        values = np.array([run[protocol, metric] for run in runs])
        is_table_2 = (protocol, metric) == ("unseen_subjects", "accuracy")
        yield Row(
            table="B2",
            model=model,
            condition=f"{level}, {localizer}",
            protocol=protocol,
            metric=metric,
            mean=float(values.mean()),
            std=float(values.std()),
            n=len(values),
            paper=printed(level, localizer, model) if is_table_2 else None,
        )
