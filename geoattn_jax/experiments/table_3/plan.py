"""The stages of the six streams, and which settings each one reads."""

import itertools

from geoattn_jax.data.flow import STREAMS, Stream
from geoattn_jax.data.splits import SPLITS, Split
from geoattn_jax.experiments.attention.phases import Section
from geoattn_jax.experiments.attention.stages import training_stages
from geoattn_jax.experiments.attention.trainings import run_folder
from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.stages import Plan, Stage, make_plan
from geoattn_jax.experiments.table_3.sources.registry import SOURCES

SECTIONS = {stream: Section(stream) for stream in STREAMS}  # config.rgb and config.flow


def stream_stages(config: Config, stream: Stream) -> list[Stage]:
    """The trainings of one stream."""
    source, found = SOURCES[config.data.source], []
    cells = itertools.product(config.levels, config.models, seeds(config))
    for level, model, seed in cells:
        found += training_stages(
            config,
            SECTIONS[stream],
            level,
            config.localizer,
            model,
            seed,
            frames=source.reads("train"),
            evaluation_frames=(*source.reads("validation"), *source.reads("test")),
        )
    return found


def stages(config: Config) -> list[Stage]:
    """What the data set keeps, the trainings of all streams, and the features of all frames."""
    source, found = SOURCES[config.data.source], []
    for level, split in itertools.product(config.levels, SPLITS):
        found += source.stages(level, split)
    for stream in STREAMS:
        found += stream_stages(config, stream)
    trainings = [stage.path for stage in found if stage.steps is not None]
    runs = itertools.product(STREAMS, config.levels, seeds(config), ("train", "test"))
    for stream, level, seed, split in runs:
        folder = SECTIONS[stream].path(run_folder(level, config.localizer, seed))
        features = Stage(
            features_file(stream, level, config.localizer, seed, split),
            reads=("scale", "models", *source.reads(split)),
            uses=("evaluation_batch",),
            after=tuple(path for path in trainings if path.startswith(f"{folder}/")),
            data=(split,),
        )
        found.append(features)
    return found


def make_six_streams_plan(config: Config) -> Plan:
    """The stages of a config."""
    results = ("seed", "runs", "data.source", "scale", "levels", "localizer", "models", "pooling", "svm_c")
    places = SOURCES[config.data.source].places
    return make_plan(config, stages(config), results=results, places=places)


def seeds(config: Config) -> range:
    """One for each run."""
    return range(config.seed, config.seed + config.runs)


def features_file(stream: Stream, level: str, localizer: str, seed: int, split: Split) -> str:
    """Where the workdir has the features of all frames of a split."""
    return SECTIONS[stream].path(f"{run_folder(level, localizer, seed)}/features_{split}.npz")
