"""Paper B's second experiment: six streams, pooled over all frames of a clip, and fused.

Liu, Wang & Kato 2019, Table 3. For each stream of each level, in folders of the workdir:
`STREAM/LEVEL/LOCALIZER/seed_N`, what supervised attention writes (`guide_affine`, then `sstn`, which sees
R_d, and `hard_coded`, which sees R_h), and with `features_train.npz` and `features_test.npz` what FC6 of both
makes of every frame. `clips` holds what the data set keeps.
"""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.data.flow import STREAMS, Stream
from geoattn_jax.data.levels import LEVEL_NAMES, LevelName
from geoattn_jax.data.splits import Split
from geoattn_jax.descriptors import accuracy, average_precision, fit_svm, fuse, mean_average_precision
from geoattn_jax.descriptors.similarity import Kind
from geoattn_jax.experiments.attention.control_regions import CROPS
from geoattn_jax.experiments.attention.networks import NETWORKS, check_networks, num_features
from geoattn_jax.experiments.attention.published_weights import WEIGHTS_RULES, check_weights, no_weights
from geoattn_jax.experiments.attention.trainings import MODELS, SCALES, AttentionLevel
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError, Rule
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_3.descriptors import ClipFeatures, describe_clips
from geoattn_jax.experiments.table_3.features import Trained, extract_features
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.experiments.table_3.published import REGIONS, printed_precision
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource
from geoattn_jax.experiments.table_3.sources.registry import SOURCES
from geoattn_jax.training import Row, cached_arrays
from geoattn_jax.training.optimizers import OPTIMIZERS
from geoattn_jax.training.parallel import PARALLELISMS
from geoattn_jax.training.schedules import SCHEDULES

_log = logging.getLogger(__name__)

# The table's columns: which streams' descriptors a level's classifier gets.
COMBINATIONS: dict[str, tuple[Stream, ...]] = {
    "spatial": ("rgb",),
    "temporal": ("flow",),
    "spatial_temporal": ("rgb", "flow"),
}
FUSED = "late_fusion"

RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["six_streams"]),
    "seed": rules.whole(0, 2**30),
    "runs": rules.whole(1),
    "data.source": rules.one_of(SOURCES),
    "scale": rules.one_of(SCALES),
    "levels": rules.some_of(LEVEL_NAMES),
    "localizer": rules.one_of(NETWORKS),
    "recognizer": rules.one_of(NETWORKS),
    "models": rules.some_of(REGIONS),
    "batch_size": rules.whole(1),
    "sub_batches": rules.whole(1),
    "evaluation_batch": rules.whole(1),
    "optimizer": rules.one_of(OPTIMIZERS),
    **WEIGHTS_RULES,
    **{
        f"{stream}.{key}": rule
        for stream in STREAMS
        for key, rule in {
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
        }.items()
    },
    "pooling.components": rules.whole(2),
    "pooling.kind": rules.one_of(get_args(Kind)),
    "svm_c": rules.positive(),
    "evaluate_every": rules.whole(1),
    "parallel": rules.one_of(PARALLELISMS),
    "log_every": rules.whole(1),
    "checkpoint_every": rules.whole(1),
    "tensorboard": rules.boolean(),
}


def kitchen_streams_config() -> Config:
    """Settings for KitchenMini, from which the files in configs/ depart.

    The spatial streams' are those of Table 2; flow takes longer to learn from.
    """
    localizer_rate = {"detail": 2e-4, "middle": 3e-4, "general": 1e-3}  # copied: Config would share it
    rgb = {
        "dropout": {"localizer": 0.0, "recognizer": 0.5},
        "guide": {
            "updates": 1000,
            "crops": "jittered",
            "localizer_rate": 1e-3,
            "recognizer_rate": 1e-3,
            "schedule": "cosine",
        },
        "joint": {
            "updates": {"detail": 1500, "middle": 1000, "general": 1000},
            "localizer_rate": {**localizer_rate},
            "recognizer_rate": 5e-4,
            "schedule": "cosine",
        },
    }
    flow = {
        "dropout": {"localizer": 0.0, "recognizer": 0.2},
        "guide": {
            "updates": 3000,
            "crops": "jittered",
            "localizer_rate": 1e-3,
            "recognizer_rate": 2e-3,
            "schedule": "cosine",
        },
        "joint": {
            "updates": {"detail": 1500, "middle": 1500, "general": 1500},
            "localizer_rate": {**localizer_rate},
            "recognizer_rate": 1e-3,
            "schedule": "cosine",
        },
    }
    return Config(
        {
            "experiment": "six_streams",
            "seed": 0,
            "runs": 5,
            "data": {
                "source": "kitchen_mini",
                "world_seed": 0,
                "clips": {"train": 1680, "validation": 140, "test": 1260},
            },
            "scale": "mini",
            "levels": ("general", "middle", "detail"),
            "localizer": "small",
            "recognizer": "small_wide",
            "models": tuple(REGIONS),
            "batch_size": 32,
            "sub_batches": 1,
            "evaluation_batch": 60,
            "optimizer": "adam",
            "weights": no_weights(),
            "rgb": rgb,
            "flow": flow,
            "pooling": {"components": 32, "kind": "rbf"},
            "svm_c": 1.0,
            "evaluate_every": 250,
            "parallel": "jit",
            "log_every": 10,
            "checkpoint_every": 500,
            "tensorboard": False,
        }
    )


class Scores(NamedTuple):
    """Of the test clips.

    Attributes:
      values: for each class.
      labels: their classes.
    """

    values: Float[np.ndarray, "n classes"]
    labels: Int[np.ndarray, " n"]


Cell = tuple[str, str, str]  # combination of streams, level or FUSED, model
Streams = dict[tuple[LevelName, Stream], AttentionLevel]


@dataclasses.dataclass(frozen=True)
class SixStreams:
    """The experiment of one config.

    Attributes:
      config: checked.
      scores: of each run by cell, once there are rows.
    """

    config: Config
    scores: dict[int, dict[Cell, Scores]] = dataclasses.field(default_factory=dict, init=False, repr=False)
    _sources: dict[Path, ClipSource] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @classmethod
    def prepare(cls, config: Config) -> "SixStreams":
        """Checks a config.

        Raises: ConfigError naming the key.
        """
        name = config.get("data", {}).get("source")
        rule = RULES["data.source"]
        if not rule.holds(name):
            raise ConfigError(f"config.data.source must be {rule.expected}, got {name!r}")
        rules.check_config(config, RULES | {f"data.{key}": one for key, one in SOURCES[name].rules.items()})
        if config.scale not in SOURCES[name].scales:
            scales = ", ".join(SOURCES[name].scales)
            raise ConfigError(f"config.scale must be one of {scales} for {name}, got {config.scale!r}")
        check_weights(config, [config.localizer])
        levels = [SCALES[config.scale][level] for level in config.levels]
        check_networks({"localizer": [config.localizer], "recognizer": [config.recognizer]}, levels)
        features = num_features(config.recognizer)
        if config.pooling.components > features:
            raise ConfigError(
                f"config.pooling.components must be at most {features}, as many as the recognizer has "
                f"features, got {config.pooling.components}"
            )
        if config.batch_size % config.sub_batches:
            raise ConfigError(
                f"config.sub_batches must divide config.batch_size={config.batch_size}, "
                f"got {config.sub_batches}"
            )
        return cls(config)

    @property
    def seeds(self) -> range:
        """One for each run."""
        return range(self.config.seed, self.config.seed + self.config.runs)

    def source(self, fitting: Fitting) -> ClipSource:
        """The clips."""
        folder = fitting.workdir / "clips"
        if folder not in self._sources:
            self._sources[folder] = SOURCES[self.config.data.source].open(self.config.data, folder)
        return self._sources[folder]

    def rows(self, fitting: Fitting) -> Iterator[Row]:
        """Trains what `fitting` has not trained yet and evaluates it."""
        source = self.source(fitting)
        streams = self.streams(source, fitting)
        for seed in self.seeds:
            self.scores[seed] = self.test_scores(streams, seed)
            for cell, scores in self.scores[seed].items():
                precision = mean_average_precision(*scores)
                _log.info("seed %d: %s: mAP %.1f%%", seed, ", ".join(cell), 100 * precision)
        rows = rows_of(source.class_groups, list(self.scores.values()))
        if SOURCES[self.config.data.source].in_table_3:
            yield from rows
        else:
            yield from (dataclasses.replace(row, paper=None) for row in rows)

    def streams(self, source: ClipSource, fitting: Fitting) -> Streams:
        """The trainings of all six streams on some data set, which without training must be finished.

        Raises: WorkdirError naming the first training that is not finished.
        """
        streams = {
            (level, stream): self._level(level, stream, source, fitting)
            for level, stream in itertools.product(self.config.levels, STREAMS)
        }
        for (_, stream), level in streams.items():
            for name, seed in itertools.product(self.config.models, self.seeds):
                steps = level.steps(self.config.localizer, name, seed)
                fitting.require_finished({f"{stream}/{folder}": count for folder, count in steps.items()})
        return streams

    def test_scores(self, streams: Streams, seed: int) -> dict[Cell, Scores]:
        """Of one run: a classifier for each level, and the mean of their scores."""
        config = self.config
        source = next(iter(streams.values())).frames.source
        labels = {split: source.labels(split) for split in ("train", "test")}
        descriptors = {place: self._descriptors(level, seed) for place, level in streams.items()}
        scores = {}
        for model, (combination, together) in itertools.product(config.models, COMBINATIONS.items()):
            of_levels = {}
            for level in config.levels:
                pairs = [descriptors[level, stream][model] for stream in together]
                train, test = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
                classifier = fit_svm(
                    train, labels["train"], num_classes=len(source.class_names), c=config.svm_c
                )
                of_levels[level] = classifier.scores(test)
            of_levels[FUSED] = fuse(list(of_levels.values()))
            for level, values in of_levels.items():
                scores[combination, level, model] = Scores(values, labels["test"])
        return scores

    def _level(self, name: LevelName, stream: Stream, source: ClipSource, fitting: Fitting) -> AttentionLevel:
        """The trainings of one of the six streams."""
        values = self.config.to_dict()
        return AttentionLevel(
            Config(values | values[stream]),
            StreamFrames(source, SCALES[self.config.scale][name], stream),
            dataclasses.replace(fitting, workdir=fitting.workdir / stream),
        )

    def _descriptors(self, level: AttentionLevel, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The descriptors of the training and of the test clips, by model."""
        config, frames = self.config, level.frames

        @cache
        def models() -> dict[str, Trained]:
            trained = {name: level.trained(config.localizer, name, seed) for name in config.models}
            return {name: Trained(*one, MODELS[name].region) for name, one in trained.items()}

        def features(split: Split) -> dict[str, np.ndarray]:
            """Kept in the workdir for training, of the test clips computed anew to evaluate."""

            def extract() -> dict[str, np.ndarray]:
                _log.info("%s, %s: features of the %s clips", frames.level.name, frames.stream, split)
                return extract_features(frames, split, models(), batch_size=config.evaluation_batch)

            folder = level.fitting.workdir / level.folder(config.localizer, seed)
            path = folder / f"features_{split}.npz"
            return cached_arrays(path, extract) if level.fitting.trains or split == "train" else extract()

        train, test = features("train"), features("test")
        return {
            name: describe_clips(
                *(ClipFeatures(split[name], split["lengths"]) for split in (train, test)),
                **config.pooling.to_dict(),
            )
            for name in config.models
        }


def rows_of(
    class_groups: Mapping[str, Sequence[int]], runs: Sequence[Mapping[Cell, Scores]]
) -> Iterator[Row]:
    """From the scores of all runs: Table 3's cells, those of groups of classes, and accuracies."""
    measures = {("", "mean_average_precision"): lambda scores: mean_average_precision(*scores)}
    for group, labels in class_groups.items():
        measures[f", {group}", "mean_average_precision"] = partial(_precision_of, list(labels))
    measures["", "accuracy"] = lambda scores: accuracy(*scores)
    for ((suffix, metric), measure), combination in itertools.product(measures.items(), COMBINATIONS):
        yield from _rows(combination, suffix, metric, measure, runs)


def _precision_of(labels: list[int], scores: Scores) -> float:
    return float(np.nanmean(average_precision(*scores)[labels]))


def _rows(
    combination: str,
    suffix: str,
    metric: str,
    measure: Callable[[Scores], float],
    runs: Sequence[Mapping[Cell, Scores]],
) -> Iterator[Row]:
    """A metric of all levels and models."""
    for cell in runs[0]:
        streams, level, model = cell
        if streams != combination:
            continue
        values = np.array([measure(run[cell]) for run in runs])
        is_table_3 = metric == "mean_average_precision" and not suffix
        yield Row(
            table="B3",
            model=model,
            condition=level,
            protocol=f"{combination}{suffix}",
            metric=metric,
            mean=float(values.mean()),
            std=float(values.std()),
            n=len(values),
            paper=printed_precision(combination, level, model) if is_table_3 else None,
        )
