"""Paper B's first experiment: spatial transformers, freely initialized and supervised, at three levels.

Liu, Wang & Kato 2019, Table 2, on KitchenMini. For each level and localizer, in folders of the workdir:
`LEVEL/LOCALIZER/seed_N/guide_MODE` (regressive guiding and the recognizer's pretraining) and
`LEVEL/LOCALIZER/seed_N/MODEL` (joint training); `LEVEL/windows_SPLIT.npz` holds the hard-coded regions.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence

from geoattn_jax.data.levels import LEVEL_NAMES, LevelName
from geoattn_jax.data.splits import SPLITS
from geoattn_jax.experiments.attention.networks import NETWORKS, check_networks
from geoattn_jax.experiments.attention.phases import PHASES, Dropout, Guide, Joint, Section, phase_values
from geoattn_jax.experiments.attention.published_weights import check_weights
from geoattn_jax.experiments.attention.settings import KITCHEN_CLIPS, TRAININGS, training_defaults
from geoattn_jax.experiments.attention.stages import level_settings, training_stages
from geoattn_jax.experiments.attention.trainings import (
    MODELS,
    SCALES,
    AttentionLevel,
)
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, Rule, check_sub_batches, restrict
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.stages import Plan, Stage, make_plan
from geoattn_jax.experiments.table_2.frames import KitchenFrames
from geoattn_jax.experiments.table_2.numbers import ACCURACY, Numbers, numbers_of
from geoattn_jax.experiments.table_2.published import printed

_log = logging.getLogger(__name__)


OF_TABLE_2 = ("stn_default", "sstn_guided", "sstn")
WITH_CONTROLS = ("stn_default", "stn_centred", "sstn_guided", "sstn", "hard_coded", "oracle")

RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["supervised_attention"]).saying("Table 2 on KitchenMini's frames"),
    **TRAININGS,
    **PHASES,
    "world_seed": rules.whole(0, 2**31 - 1).saying("of all scenes"),
    "localizers": rules.some_of(NETWORKS).saying("the networks that choose the region"),
    **{
        f"models.{level}.{name}": rules.some_of(MODELS).saying("what is trained with this localizer")
        for level in LEVEL_NAMES
        for name in NETWORKS
    },
    **KITCHEN_CLIPS,
    "frames_per_clip": rules.whole(1, 10).saying("different frames of a clip that are trained on"),
}
SECTION = Section()  # the config itself
SELECTION = ("levels", "localizers", "models")
FRAMES = ("scale", "world_seed", "clips", "frames_per_clip")

Cell = tuple[LevelName, str, str]  # level, localizer, model
Measured = dict[Cell, list[Numbers]]  # of each run


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
            **phase_values(Dropout(), Guide(), Joint()),
            "evaluate_every": 200,
            **training_defaults(),
        }
    )


def stages(config: Config) -> list[Stage]:
    """The hard-coded regions of each level, and all trainings."""
    found = []
    for level, split in itertools.product(config.levels, SPLITS):
        found.append(Stage(f"{level}/windows_{split}.npz", reads=("world_seed", f"clips.{split}")))
    for (level, localizer, name), seed in itertools.product(cells(config), seeds(config)):
        found += training_stages(
            config,
            SECTION,
            level,
            localizer,
            name,
            seed,
            frames=("world_seed", "clips.train", "frames_per_clip"),
            evaluation_frames=("clips.validation", "clips.test"),
        )
    return found


def make_supervised_attention_plan(config: Config) -> Plan:
    """The stages of a config."""
    return make_plan(config, stages(config), results=("seed", "runs", *SELECTION, "evaluation_batch"))


@dataclasses.dataclass(frozen=True)
class SupervisedAttention:
    """The experiment of one config.

    Attributes:
      plan: its stages.
      levels: the trainings of each level.
    """

    plan: Plan
    levels: dict[LevelName, AttentionLevel]

    @classmethod
    def prepare(cls, config: Config, fitting: Fitting) -> "SupervisedAttention":
        """Checks what the rules cannot say.

        Raises: ConfigError naming the key.
        """
        check_sub_batches(config)
        check_weights(config, config.localizers)
        levels = [SCALES[config.scale][name] for name in config.levels]
        networks = {"localizers": config.localizers, "recognizer": [config.recognizer]}
        has_statistics = check_networks(networks, levels)
        fitting.check_batches("", fills=not has_statistics)
        plan = make_supervised_attention_plan(config)
        trainings = level_settings(config, SECTION)
        frames = restrict(config, FRAMES)
        return cls(
            plan,
            {
                name: AttentionLevel(plan, trainings, kitchen_frames(frames, name, fitting), fitting, SECTION)
                for name in config.levels
            },
        )

    def data(self, known: DataRecord) -> DataRecord:
        """None: all frames are generated."""
        del known
        return {}

    def measure(self) -> Measured:
        """Trains what is not trained yet and evaluates it."""
        measured = {}
        for cell in cells(self.plan.results):
            measured[cell] = []
            for seed in seeds(self.plan.results):
                level, localizer, model = cell
                numbers = numbers_of(self.levels[level], localizer, model, seed)
                accuracy = numbers[ACCURACY]
                _log.info("%s, seed %d: %.1f%%", ", ".join(cell), seed, 100 * accuracy)
                measured[cell].append(numbers)
        return measured

    def rows(self, measured: Measured) -> list[Row]:
        """Of all cells."""
        return [row for cell, runs in measured.items() for row in rows_of(*cell, runs)]


def cells(config: Config) -> list[Cell]:
    """All that are to be trained."""
    return [
        (level, localizer, model)
        for level in config.levels
        for localizer in config.localizers
        for model in config.models[level][localizer]
    ]


def seeds(config: Config) -> range:
    """One for each run."""
    return range(config.seed, config.seed + config.runs)


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
    for measure in runs[0]:
        yield Row.of_runs(
            [run[measure] for run in runs],
            table="B2",
            model=model,
            condition=level,
            network=localizer,
            **measure._asdict(),
            paper=printed(level, localizer, model) if measure == ACCURACY else None,
        )
