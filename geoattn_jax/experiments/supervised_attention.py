"""Paper B's first experiment: spatial transformers, freely initialized and supervised, at three levels.

Liu, Wang & Kato 2019, Table 2, on KitchenMini. For each level and localizer, in folders of the workdir:
`LEVEL/LOCALIZER/seed_N/guide_MODE` (regressive guiding and the recognizer's pretraining) and
`LEVEL/LOCALIZER/seed_N/MODEL` (joint training); `LEVEL/windows_SPLIT.npz` holds the hard-coded regions.
"""

import dataclasses
import logging
from collections.abc import Iterator
from functools import partial

import numpy as np
import optax
from jaxtyping import Bool, Int

from geoattn_jax.data.kitchen import SPLITS, KitchenMini, Split
from geoattn_jax.data.kitchen_scene import CLASS_GROUPS, CLASS_NAMES
from geoattn_jax.data.levels import LEVEL_NAMES, LEVELS, PAPER_LEVELS, LevelName
from geoattn_jax.experiments import config as rules
from geoattn_jax.experiments.config import Config, ConfigError, Rule
from geoattn_jax.experiments.fitting import Fitting
from geoattn_jax.experiments.guiding import CROPS, AttentionTask, Region
from geoattn_jax.experiments.kitchen_frames import KitchenFrames
from geoattn_jax.experiments.paper_b import printed
from geoattn_jax.experiments.theta_probe import class_from_theta
from geoattn_jax.layers.spatial_transformer import ThetaMode
from geoattn_jax.models.small import LOCALIZERS, RECOGNIZER
from geoattn_jax.models.sstn import SSTN, ThetaStart
from geoattn_jax.models.vgg import VGG16, VGGF, VGGM
from geoattn_jax.training import Phase, Row
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
SIZES = tuple(LOCALIZERS)
VGGS = {"small": VGGF, "middle": VGGM, "large": VGG16}
OPTIMIZERS = {
    "adam": partial(optax.adam, b1=0.9, b2=0.99),
    "momentum": partial(optax.sgd, momentum=0.9),
}


def _every_class_and_subject(split: Split) -> int:
    """How many clips show each class by each subject once."""
    return len(CLASS_NAMES) * len(KitchenMini(split).subjects)


RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["supervised_attention"]),
    "seed": rules.whole(0, 2**30),
    "runs": rules.whole(1),
    "world_seed": rules.whole(0, 2**31 - 1),
    "scale": rules.one_of(SCALES),
    "levels": rules.some_of(LEVEL_NAMES),
    "localizers": rules.some_of(SIZES),
    "models": rules.some_of(MODELS),
    **{f"clips.{split}": rules.whole(_every_class_and_subject(split)) for split in SPLITS},
    "frames_per_clip": rules.whole(1, 10),
    "batch_size": rules.whole(1),
    "sub_batches": rules.whole(1),
    "evaluation_batch": rules.whole(1),
    "optimizer": rules.one_of(OPTIMIZERS),
    "dropout.localizer": rules.share(),
    "dropout.recognizer": rules.share(),
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


@dataclasses.dataclass(frozen=True)
class SupervisedAttention:
    """The experiment of one config.

    Attributes:
      config: checked.
    """

    config: Config

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
        return cls(config)

    def rows(self, fitting: Fitting) -> Iterator[Row]:
        """Trains what `fitting` has not trained yet and evaluates it."""
        for level in self.config.levels:
            frames = self.frames(level, fitting)
            for localizer in self.config.localizers:
                for model in self.config.models:
                    runs = [self.numbers(frames, localizer, model, seed, fitting) for seed in self.seeds]
                    yield from self._rows(level, localizer, model, runs)

    @property
    def seeds(self) -> range:
        """One for each run."""
        return range(self.config.seed, self.config.seed + self.config.runs)

    def frames(self, level: LevelName, fitting: Fitting) -> KitchenFrames:
        """What is trained and evaluated on."""
        config = self.config
        levels = LEVELS if config.scale == "mini" else PAPER_LEVELS
        return KitchenFrames(
            levels[level],
            config.world_seed,
            config.clips.to_dict(),
            config.frames_per_clip,
            fitting.workdir / level,
        )

    def folder(self, frames: KitchenFrames, localizer: str, seed: int) -> str:
        """Where a run's trainings lie in the workdir."""
        return f"{frames.level.name}/{localizer}/seed_{seed}"

    def task(
        self, frames: KitchenFrames, localizer: str, mode: ThetaMode, start: ThetaStart
    ) -> AttentionTask:
        """A network and what it is trained on."""
        config, classes = self.config, len(CLASS_NAMES)
        rates = config.dropout
        if config.scale == "mini":
            networks = (
                LOCALIZERS[localizer](dropout_rate=rates.localizer),
                RECOGNIZER(classes, dropout_rate=rates.recognizer),
            )
        else:
            networks = (
                VGGS[localizer](None, dropout_rate=rates.localizer),
                VGG16(classes, dropout_rate=rates.recognizer),
            )
        level = frames.level
        return AttentionTask(
            model=SSTN(*networks, crop_hw=level.crop_hw, region_hw=level.window_hw, mode=mode, start=start),
            frames=frames,
            batch_size=config.batch_size,
            sub_batches=config.sub_batches,
            evaluation_batch=config.evaluation_batch,
            optimizer=OPTIMIZERS[config.optimizer],
        )

    def guided(
        self, frames: KitchenFrames, localizer: str, mode: ThetaMode, seed: int, fitting: Fitting
    ) -> Params:
        """After the first phase: a guided localizer and a pretrained recognizer."""
        task, settings = self.task(frames, localizer, mode=mode, start="centred"), self.config.guide
        phase = task.guide(**settings.to_dict(), evaluate_every=self.config.evaluate_every)
        folder = self.folder(frames, localizer, seed)
        return self._fit(f"{folder}/guide_{mode}", task, [phase], task.initial_params(seed), seed, fitting)

    def trained(
        self, frames: KitchenFrames, localizer: str, name: str, seed: int, fitting: Fitting
    ) -> tuple[AttentionTask, Params]:
        """A model after all its phases."""
        model, settings = MODELS[name], self.config.joint
        if model.region != "attended":
            localizer = self.config.localizers[0]  # which one makes no difference
        task = self.task(frames, localizer, mode=model.mode, start=model.start)
        params = self.guided(frames, localizer, model.mode, seed, fitting)
        if not model.guided:
            params = {**task.initial_params(seed), "recognizer": params["recognizer"]}
        if not model.joint:
            return task, params
        phase = task.joint(
            updates=settings.updates,
            region=model.region,
            localizer_rate=settings.translation_rate
            if model.mode == "translation"
            else settings.localizer_rate,
            recognizer_rate=settings.recognizer_rate,
            evaluate_every=self.config.evaluate_every,
        )
        folder = self.folder(frames, localizer, seed)
        return task, self._fit(f"{folder}/{name}", task, [phase], params, seed, fitting)

    def numbers(
        self, frames: KitchenFrames, localizer: str, name: str, seed: int, fitting: Fitting
    ) -> dict[tuple[str, str], float]:
        """What one run comes to on the test clips, by protocol and metric."""
        task, params = self.trained(frames, localizer, name, seed, fitting)
        region = MODELS[name].region
        outcome = task.outcome(params, "test", region)
        numbers = _accuracies("unseen_subjects", outcome.correct, outcome.labels)
        numbers |= {
            ("unseen_subjects", metric): float(np.nanmean(values))
            for metric, values in outcome.measures._asdict().items()
        }
        if region == "attended":
            seen = task.outcome(params, "train", region)
            told = class_from_theta(seen.theta, seen.labels, outcome.theta, outcome.labels)
            numbers |= _accuracies("from_theta_alone", told, outcome.labels)
        accuracy = numbers["unseen_subjects", "accuracy"]
        _log.info("%s, %s, %s, seed %d: %.1f%%", frames.level.name, localizer, name, seed, 100 * accuracy)
        return numbers

    def _fit(
        self,
        folder: str,
        task: AttentionTask,
        phases: list[Phase],
        params: Params,
        seed: int,
        fitting: Fitting,
    ) -> Params:
        trained = fitting.fit(
            folder,
            phases,
            params,
            {},
            seed=seed,
            batch_size=task.batch_size // task.sub_batches,
            log_every=self.config.log_every,
        )
        return trained.params

    def _rows(
        self, level: str, localizer: str, model: str, runs: list[dict[tuple[str, str], float]]
    ) -> Iterator[Row]:
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


def _accuracies(
    protocol: str, correct: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"]
) -> dict[tuple[str, str], float]:
    """The accuracy on all classes, and on each group of them."""
    accuracies = {(protocol, "accuracy"): float(correct.mean())}
    for group, classes in CLASS_GROUPS.items():
        accuracies[f"{protocol}, {group}", "accuracy"] = float(correct[np.isin(labels, classes)].mean())
    return accuracies
