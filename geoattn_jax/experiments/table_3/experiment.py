"""Paper B's second experiment: six streams, pooled over all frames of a clip, and fused.

Liu, Wang & Kato 2019, Table 3. For each stream of each level, in folders of the workdir:
`STREAM/LEVEL/LOCALIZER/seed_N`, what supervised attention writes (`guide_affine`, then `sstn`, which sees
R_d, and `hard_coded`, which sees R_h), and with `features_train.npz` and `features_test.npz` what FC6 of both
makes of every frame. `clips` holds what the data set keeps.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import cache

import numpy as np

from geoattn_jax.data.flow import Stream
from geoattn_jax.data.levels import LEVEL_NAMES, LevelName
from geoattn_jax.data.splits import Split
from geoattn_jax.descriptors import fuse, mean_average_precision
from geoattn_jax.descriptors.pooling import POOLINGS
from geoattn_jax.experiments.attention.networks import NETWORKS
from geoattn_jax.experiments.attention.phases import Dropout, Guide, Joint, phase_values
from geoattn_jax.experiments.attention.settings import TRAININGS, training_defaults
from geoattn_jax.experiments.attention.stages import level_settings
from geoattn_jax.experiments.attention.trainings import MODELS, SCALES, AttentionLevel
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError, Rule
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.stages import Plan
from geoattn_jax.experiments.table_3.checks import check, check_clips, saying_where
from geoattn_jax.experiments.table_3.classifiers import Descriptors, level_scores
from geoattn_jax.experiments.table_3.descriptors import ClipFeatures, ClipPooling
from geoattn_jax.experiments.table_3.features import Trained, extract_features
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.experiments.table_3.plan import SECTIONS, features_file, make_six_streams_plan, seeds
from geoattn_jax.experiments.table_3.published import REGIONS
from geoattn_jax.experiments.table_3.scores import COMBINATIONS, FUSED, RunScores, Scores, rows_of
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource
from geoattn_jax.experiments.table_3.sources.registry import SOURCES
from geoattn_jax.experiments.table_3.sources.with_video import WithVideo
from geoattn_jax.training import StoredRows, scattered_rows, stored_rows
from geoattn_jax.training.processes import first_does, first_says, is_first

_log = logging.getLogger(__name__)


RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["six_streams"]).saying("Table 3 on clips of any source"),
    **TRAININGS,
    "data.source": rules.one_of(SOURCES).saying("the data set"),
    "localizer": rules.one_of(NETWORKS).saying("the network that chooses the region"),
    "models": rules.some_of(REGIONS).saying("whose regions are described"),
    **{key: rule for section in SECTIONS.values() for key, rule in section.rules().items()},
    "pooling.components": rules.whole(2).saying("principal components of a frame's features"),
    "pooling.kind": rules.one_of(POOLINGS).saying("how a clip's frames become one descriptor"),
    "svm_c": rules.positive().saying("the classifier's penalty"),
}


def kitchen_streams_config() -> Config:
    """Settings for KitchenMini, from which the files in configs/ depart.

    The spatial streams' are those of Table 2; flow takes longer to learn from.
    """
    rgb = phase_values(Dropout(), Guide(), Joint())
    flow = phase_values(
        Dropout(recognizer=0.2),
        Guide(updates=3000, recognizer_rate=2e-3),
        Joint(updates=dict.fromkeys(LEVEL_NAMES, 1500), recognizer_rate=1e-3),
    )
    return Config(
        {
            "experiment": "six_streams",
            "seed": 0,
            "runs": 5,
            "data": SOURCES["kitchen_mini"].defaults(),
            "scale": "mini",
            "levels": ("general", "middle", "detail"),
            "localizer": "small",
            "recognizer": "small_wide",
            "models": tuple(REGIONS),
            "rgb": rgb,
            "flow": flow,
            "pooling": {"components": 32, "kind": "rbf"},
            "svm_c": 1.0,
            "evaluate_every": 250,
            **training_defaults(),
        }
    )


Streams = dict[tuple[LevelName, Stream], AttentionLevel]


@dataclasses.dataclass(frozen=True)
class SixStreams:
    """The experiment of one config.

    Attributes:
      plan: its stages.
      source: the clips.
      streams: the trainings of all six streams.
      fitting: trains, or reads what was trained.
    """

    plan: Plan
    source: ClipSource
    streams: Streams
    fitting: Fitting

    @classmethod
    def prepare(cls, config: Config, fitting: Fitting) -> "SixStreams":
        """Checks what the rules cannot say, and finds the clips.

        Raises: ConfigError naming the key.
        """
        check(config, fitting)
        source = SOURCES[config.data.source].open(config.data, fitting.workdir / "clips")
        plan = make_six_streams_plan(config)
        return cls(plan, source, streams_of(config, plan, source, fitting), fitting)

    def data(self, known: DataRecord) -> DataRecord:
        """What identifies the clips, if they are not generated."""
        return self.source.record(known)

    def measure(self) -> dict[int, RunScores]:
        """Trains what is not trained yet; the scores of the test clips, by the run's seed."""
        if self.fitting.trains and not first_says(lambda: self.fitting.is_finished(self.plan)):
            flows = {name: one.frames for (name, stream), one in self.streams.items() if stream == "flow"}
            still = [name for name, frames in flows.items() if frames.is_still]
            check_clips(self.source, components=self.plan.results.pooling.components, still=still)
        measured = {}
        for seed in seeds(self.plan.results):
            measured[seed] = self.test_scores(seed)
            for cell, scores in measured[seed].items():
                precision = mean_average_precision(*scores)
                _log.info("seed %d: %s: mAP %.1f%%", seed, ", ".join(cell), 100 * precision)
        return measured

    def rows(self, measured: dict[int, RunScores]) -> list[Row]:
        """Table 3's cells, beside the paper's if the data could be."""
        rows = list(rows_of(self.source.class_groups, list(measured.values())))
        if SOURCES[self.plan.results.data.source].in_table_3:
            return rows
        return [dataclasses.replace(row, paper=None) for row in rows]

    def test_scores(self, seed: int) -> RunScores:
        """Of one run: a classifier for each level, and the mean of their scores; in the first process."""
        results = self.plan.results
        labels = self.source.labels("test")
        of_levels = {level: self._level_scores(level, seed) for level in results.levels}
        if not is_first():
            return {}
        scores = {}
        for model, combination in itertools.product(results.models, COMBINATIONS):
            values = {level: of_models[model][combination] for level, of_models in of_levels.items()}
            values[FUSED] = fuse(list(values.values()))
            for level, one in values.items():
                scores[combination, level, model] = Scores(one, labels)
        return scores

    def of_video(self, video: ClipSource) -> "SixStreams":
        """The same networks, and the clips of another source in the place of the test clips."""
        source = WithVideo(self.source, video)
        streams = {
            place: dataclasses.replace(level, frames=level.frames.of(source))
            for place, level in self.streams.items()
        }
        return dataclasses.replace(self, source=source, streams=streams)

    def _level_scores(self, level: LevelName, seed: int) -> dict[str, dict[str, np.ndarray]]:
        """The scores of one level's classifiers, by model and combination; then its descriptors are gone."""
        results = self.plan.results
        with ExitStack() as files:
            streams = {stream: self._descriptors(level, stream, seed, files) for stream in SECTIONS}

            def scores(model: str) -> dict[str, np.ndarray]:
                return level_scores(
                    {stream: descriptors[model] for stream, descriptors in streams.items()},
                    self.source.labels("train"),
                    num_classes=len(self.source.class_names),
                    c=results.svm_c,
                    where=f"{level}, {model}",
                )

            return first_does(lambda: {model: scores(model) for model in results.models}, {})

    def _descriptors(
        self, name: LevelName, stream: Stream, seed: int, files: ExitStack
    ) -> dict[str, Descriptors]:
        """The descriptors by model, in files that are closed with the others."""
        results, level = self.plan.results, self.streams[name, stream]
        frames = level.frames

        @cache
        def models() -> dict[str, Trained]:
            trained = {model: level.trained(results.localizer, model, seed) for model in results.models}
            return {name: Trained(*one, MODELS[name].region) for name, one in trained.items()}

        def features(split: Split) -> AbstractContextManager[StoredRows]:
            """Kept in the workdir for training, of the test clips computed anew to evaluate."""

            file = features_file(stream, name, results.localizer, seed, split)
            settings = self.plan.settings(file)

            def extract() -> Iterator[dict[str, np.ndarray]]:
                _log.info("%s, %s: features of the %s clips", name, stream, split)
                return extract_features(frames, split, models(), batch_size=settings.evaluation_batch)

            keeps = self.fitting.trains or split == "train"
            return stored_rows(self.fitting.workdir / file, extract, keeps=keeps)

        def described(model: str, *splits: StoredRows) -> Descriptors:
            train, test = (ClipFeatures(split[model], split["lengths"].whole()) for split in splits)
            pooling = ClipPooling.fitted(train, **results.pooling.to_dict())
            path = self.fitting.workdir / features_file(stream, name, results.localizer, seed, "train")
            rows = (
                scattered_rows(path.with_name("descriptors"), len(clips.lengths), pooling.pooled(clips))
                for clips in (train, test)
            )
            return Descriptors(*map(files.enter_context, rows))

        with (
            features("train") as train,
            features("test") as test,
            saying_where(f"the pooling of {name}, {stream}"),
        ):
            return first_does(lambda: {model: described(model, train, test) for model in results.models}, {})


def rules_of(config: Config) -> Mapping[str, Rule]:
    """What the values must be, those of the config's data set included.

    Raises: ConfigError if there is no such data set.
    """
    name, rule = config.get("data", {}).get("source"), RULES["data.source"]
    if not rule.holds(name):
        raise ConfigError(f"config.data.source must be {rule.expected}, got {name!r}")
    return RULES | {f"data.{key}": one for key, one in SOURCES[name].rules.items()}


def defaults_of(config: Config) -> Config:
    """What stands for keys that a config lacks, those of its data set included."""
    defaults = kitchen_streams_config()
    defaults.data = SOURCES[config.data.source].defaults()
    return defaults


def streams_of(config: Config, plan: Plan, source: ClipSource, fitting: Fitting) -> Streams:
    """The trainings of all six streams on some data set."""
    return {
        (name, stream): AttentionLevel(
            plan,
            level_settings(config, section),
            StreamFrames(source, SCALES[config.scale][name], stream),
            fitting,
            section,
        )
        for stream, section in SECTIONS.items()
        for name in config.levels
    }
