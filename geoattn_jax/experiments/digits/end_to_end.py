"""Past the paper: new motions and new digits, by its two stages, by the mean over time, and end to end.

For each protocol and condition, in folders of the workdir: `PROTOCOL/lenet/CONDITION`, what `two_stage.py`
writes for the second stage (its first, in `lenet/pretrain`, serves all); `PROTOCOL/CONDITION/frames`, a CNN
that classifies single frames, evaluated by the mean over time of their log-probabilities; and
`PROTOCOL/CONDITION/clips`, that CNN with an LSTM, trained end to end.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from geoattn_jax.data.moving_digits import MovingDigits
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, Rule, check_sub_batches, computation
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.stages import WATCHING, Plan, Stage, make_plan
from geoattn_jax.experiments.digits import two_stage_plan
from geoattn_jax.experiments.digits.endless_videos import StreamedVideos
from geoattn_jax.experiments.digits.phase_settings import fit_phase, phase_options
from geoattn_jax.experiments.digits.two_stage import TwoStage
from geoattn_jax.experiments.digits.two_stage_plan import paper_config
from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.training import PMAP_AXIS, Trained
from geoattn_jax.training.optimizers import OPTIMIZERS
from geoattn_jax.training.schedules import SCHEDULES

_log = logging.getLogger(__name__)

PROTOCOLS = ("new_motion", "new_digits")

OWN_RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["end_to_end"]).saying("past the paper: end to end, on new videos"),
    "protocols": rules.some_of(PROTOCOLS).saying("what is new in the test videos"),
    "test_videos": rules.whole(1).saying("how many are tested on"),
    "curve.videos": rules.whole(1).saying("test videos of each point of the learning curves"),
    "curve.every": rules.whole(1).saying("updates from one point to the next"),
    **{
        f"frames.steps.{name}": rules.whole(1).saying("updates of the CNN on single frames")
        for name in PROTOCOLS
    },
    "frames.batch_size": rules.whole(1).saying("frames in an update"),
    "frames.sub_batches": rules.whole(1).saying(rules.SUB_BATCHES),
    "frames.learning_rate": rules.positive().saying("of training on frames"),
    "frames.optimizer": rules.one_of(OPTIMIZERS).saying("of training on frames"),
    "frames.schedule": rules.one_of(SCHEDULES).saying("of that rate"),
    **{
        f"clips.steps.{name}": rules.whole(1).saying("updates of CNN and LSTM end to end")
        for name in PROTOCOLS
    },
    "clips.batch_size": rules.whole(1).saying("clips in an update"),
    "clips.sub_batches": rules.whole(1).saying(rules.SUB_BATCHES),
    "clips.units": rules.whole(1).saying("of the LSTM"),
    "clips.learning_rate": rules.positive().saying("of the LSTM"),
    "clips.cnn_learning_rate": rules.positive().saying("of the CNN meanwhile"),
    "clips.optimizer": rules.one_of(OPTIMIZERS).saying("of the LSTM"),
    "clips.cnn_optimizer": rules.one_of(OPTIMIZERS).saying("of the CNN meanwhile"),
    "clips.schedule": rules.one_of(SCHEDULES).saying("of both rates"),
    "clips.frame_loss": rules.positive().saying("weight of the loss of single frames"),
}
SHARED_RULES = {
    key: rule for key, rule in two_stage_plan.RULES.items() if key not in ("experiment", "protocol")
}
RULES = OWN_RULES | SHARED_RULES
# What endless videos and the model are.
CLIPS = ("seed", "digits", "frame_size", "video", "dtype", "clips.units")

Cell = tuple[str, str, str]  # protocol, condition, model


def base_config() -> Config:
    """The settings of configs/end_to_end.py; those of the two stages have the names that they have there."""
    config = paper_config().unlock()
    del config.protocol
    config.experiment = "end_to_end"
    config.protocols = PROTOCOLS
    config.conditions = ("rotation_scaling",)
    config.models = ("lenet",)
    config.pretrain.steps.lenet = 1500
    config.lstm.update(rounds=100, batch_size=5)  # which divides both protocols' classes, 100 and 55
    config.test_videos = 2000
    config.curve = {"videos": 500, "every": 250}
    config.frames = {
        "steps": {"new_motion": 800, "new_digits": 8000},
        "batch_size": 128,
        "sub_batches": 1,
        "learning_rate": 1e-2,
        "optimizer": "muon_convolutions",
        "schedule": "cosine",
    }
    config.clips = {
        "steps": {"new_motion": 250, "new_digits": 1200},
        "batch_size": 16,
        "sub_batches": 1,
        "units": 128,
        "learning_rate": 3e-3,
        "cnn_learning_rate": 2e-4,
        "optimizer": "muon",
        "cnn_optimizer": "adamw",
        "schedule": "cosine",
        "frame_loss": 0.3,
    }
    return config.lock()


def stages(config: Config) -> list[Stage]:
    """Those of the paper's experiment under each protocol, and for each cell those of endless videos."""
    found = [
        stage.renamed(partial(_place, protocol), lambda key: None if key == "protocol" else key)
        for protocol in config.protocols
        for stage in two_stage_plan.stages(_paper(config, protocol))
    ]
    curve = ("curve", *WATCHING)
    for protocol, condition in cells(config.protocols, config.conditions):
        frames = Stage(
            f"{protocol}/{condition}/frames",
            reads=(
                *CLIPS,
                f"frames.steps.{protocol}",
                "frames.batch_size",
                "frames.sub_batches",
                "frames.learning_rate",
                "frames.optimizer",
                "frames.schedule",
            ),
            uses=curve,
            data=("train",),
            steps=config.frames.steps[protocol],
        )
        clips = Stage(
            f"{protocol}/{condition}/clips",
            reads=(
                *CLIPS,
                f"clips.steps.{protocol}",
                "clips.batch_size",
                "clips.sub_batches",
                "clips.learning_rate",
                "clips.cnn_learning_rate",
                "clips.optimizer",
                "clips.cnn_optimizer",
                "clips.schedule",
                "clips.frame_loss",
            ),
            uses=curve,
            after=(frames.path,),
            steps=config.clips.steps[protocol],
        )
        found += [frames, clips]
    return found


def make_end_to_end_plan(config: Config) -> Plan:
    """The stages of a config."""
    return make_plan(
        config,
        stages(config),
        results=("protocols", "conditions", "models", "test_videos", "parallel", "remat", *CLIPS),
        places=("data_dir",),
    )


@dataclasses.dataclass(frozen=True)
class EndToEnd:
    """The experiment of one config.

    Attributes:
      plan: its stages.
      two_stage: the paper's experiment on the same videos, by protocol.
      fitting: trains, or reads what was trained.
    """

    plan: Plan
    two_stage: dict[str, TwoStage]
    fitting: Fitting

    @classmethod
    def prepare(cls, config: Config, fitting: Fitting) -> "EndToEnd":
        """Checks what the rules cannot say, and loads the digits.

        Raises: ConfigError naming the key.
        """
        for group in ("frames", "clips"):
            check_sub_batches(config, group)
        fitting.check_batches("frames", "clips", fills=False)  # the CNN's statistics are of whole batches
        papers = {}
        for protocol in config.protocols:
            second = dataclasses.replace(fitting, workdir=fitting.workdir / protocol)
            paper = TwoStage.prepare(_paper(config, protocol), fitting)
            papers[protocol] = dataclasses.replace(paper, second=second)
        return cls(make_end_to_end_plan(config), papers, fitting)

    def data(self, known: DataRecord) -> DataRecord:
        """What identifies the digits."""
        del known
        return next(iter(self.two_stage.values())).digits.record

    def measure(self) -> dict[Cell, Float[np.ndarray, " rounds"]]:
        """Trains what is not trained yet; the accuracies of every round, or of the one training."""
        results, measured = self.plan.results, {}
        for protocol, condition in cells(results.protocols, results.conditions):
            paper = self.two_stage[protocol]
            for name in results.models:
                scores = paper.scores(name, condition, paper.pretrained(name))[protocol]
                measured[protocol, condition, f"{name}_lstm"] = np.asarray(scores.accuracy, np.float64)
            frames = self.frames(protocol, condition)
            for model, trained in (
                ("mean_pooling", frames),
                ("cnn_lstm", self.clips(protocol, condition, frames)),
            ):
                accuracy = self._task(results, protocol, condition).accuracy(
                    trained.params, trained.model_state, results.test_videos
                )
                measured[protocol, condition, model] = np.array([accuracy[model]])
        for cell, accuracies in measured.items():
            _log.info("%s: %.2f%%", ", ".join(cell), 100 * accuracies.mean())
        return measured

    def rows(self, measured: dict[Cell, Float[np.ndarray, " rounds"]]) -> list[Row]:
        """A row for each protocol, condition and model."""
        return [
            Row.of_runs(
                one, table="A2", model=model, condition=condition, protocol=protocol, metric="accuracy"
            )
            for (protocol, condition, model), one in measured.items()
        ]

    def frames(self, protocol: str, condition: str) -> Trained:
        """The CNN, trained on single frames; the LSTM as it starts."""
        folder = f"{protocol}/{condition}/frames"
        settings = self.plan.settings(folder)
        task, group = self._task(settings, protocol, condition), settings.frames
        options = phase_options(group, steps=group.steps[protocol]) | _evaluation(settings)
        phase = task.frames_phase(f"{protocol}, {condition}: frames", **options)
        return fit_phase(self.fitting, folder, phase, *task.initial(), settings=settings)

    def clips(self, protocol: str, condition: str, start: Trained) -> Trained:
        """CNN and LSTM, trained end to end from the CNN of `frames`."""
        folder = f"{protocol}/{condition}/clips"
        settings = self.plan.settings(folder)
        task, group = self._task(settings, protocol, condition), settings.clips
        options = phase_options(group, steps=group.steps[protocol], without=["units"]) | _evaluation(settings)
        phase = task.clips_phase(f"{protocol}, {condition}: clips", **options)
        begin = start.params, start.model_state
        return fit_phase(self.fitting, folder, phase, *begin, settings=settings)

    def task(self, protocol: str, condition: str) -> StreamedVideos:
        """What is trained on streamed videos."""
        return self._task(self.plan.results, protocol, condition)

    def _task(self, settings: Config, protocol: str, condition: str) -> StreamedVideos:
        one_of_each_setting = {"frames_per_setting": 1, "stride": settings.video.frames_per_setting}
        clips = MovingDigits(
            condition,
            protocol,
            "test",
            frame_size=settings.frame_size,
            settings=settings.video.settings,
            **one_of_each_setting,
        )
        model = CNNLSTM(
            num_classes=len(clips.classes),
            lstm_units=settings.clips.units,
            axis_name=PMAP_AXIS if settings.parallel == "pmap" else None,
            **computation(settings),
        )
        return StreamedVideos(model, self.two_stage[protocol].digits, clips, settings.seed)


def cells(protocols: Sequence[str], conditions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every protocol with every condition."""
    return itertools.product(protocols, conditions)


def _evaluation(settings: Config) -> dict[str, int]:
    """What a phase is evaluated on while it trains, and how often."""
    return {"curve_videos": settings.curve.videos, "evaluate_every": settings.curve.every}


def _place(protocol: str, path: str) -> str:
    """Where the workdir has what the two stages have in `path`."""
    return path if path.endswith("pretrain") else f"{protocol}/{path}"


def _paper(config: Config, protocol: str) -> Config:
    """The settings of the two stages."""
    values = config.to_dict()
    shared = {key.partition(".")[0] for key in SHARED_RULES}
    return Config({key: values[key] for key in shared} | {"experiment": "two_stage", "protocol": protocol})
