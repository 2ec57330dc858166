"""Past the paper: new motions and new digits, by its two stages, by the mean over time, and end to end.

For each protocol and condition, in folders of the workdir: `PROTOCOL/lenet/CONDITION`, what `two_stage.py`
writes for the second stage (its first, in `lenet/pretrain`, serves all); `PROTOCOL/CONDITION/frames`, a CNN
that classifies single frames, evaluated by the mean over time of their log-probabilities; and
`PROTOCOL/CONDITION/clips`, that CNN with an LSTM, trained end to end.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator

import numpy as np

from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, Rule
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.digits import two_stage
from geoattn_jax.experiments.digits.endless_videos import StreamedVideos
from geoattn_jax.experiments.digits.two_stage import TwoStage, paper_config
from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.training import PMAP_AXIS, Row, Trained
from geoattn_jax.training.optimizers import OPTIMIZERS
from geoattn_jax.training.schedules import SCHEDULES

_log = logging.getLogger(__name__)

PROTOCOLS = ("new_motion", "new_digits")

OWN_RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["end_to_end"]),
    "protocols": rules.some_of(PROTOCOLS),
    "test_videos": rules.whole(1),
    "curve.videos": rules.whole(1),
    "curve.every": rules.whole(1),
    **{f"frames.steps.{name}": rules.whole(1) for name in PROTOCOLS},
    "frames.batch_size": rules.whole(1),
    "frames.learning_rate": rules.positive(),
    "frames.optimizer": rules.one_of(OPTIMIZERS),
    "frames.schedule": rules.one_of(SCHEDULES),
    **{f"clips.steps.{name}": rules.whole(1) for name in PROTOCOLS},
    "clips.batch_size": rules.whole(1),
    "clips.units": rules.whole(1),
    "clips.learning_rate": rules.positive(),
    "clips.cnn_learning_rate": rules.positive(),
    "clips.optimizer": rules.one_of(OPTIMIZERS),
    "clips.cnn_optimizer": rules.one_of(OPTIMIZERS),
    "clips.schedule": rules.one_of(SCHEDULES),
    "clips.frame_loss": rules.positive(),
}
SHARED_RULES = {key: rule for key, rule in two_stage.RULES.items() if key not in ("experiment", "protocol")}


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
        "learning_rate": 1e-2,
        "optimizer": "muon_convolutions",
        "schedule": "cosine",
    }
    config.clips = {
        "steps": {"new_motion": 250, "new_digits": 1200},
        "batch_size": 16,
        "units": 128,
        "learning_rate": 3e-3,
        "cnn_learning_rate": 2e-4,
        "optimizer": "muon",
        "cnn_optimizer": "adamw",
        "schedule": "cosine",
        "frame_loss": 0.3,
    }
    return config.lock()


@dataclasses.dataclass(frozen=True)
class EndToEnd:
    """The experiment of one config.

    Attributes:
      config: checked.
      two_stage: the paper's experiment on the same videos, by protocol.
    """

    config: Config
    two_stage: dict[str, TwoStage]

    @classmethod
    def prepare(cls, config: Config) -> "EndToEnd":
        """Checks a config and loads the digits.

        Raises: ConfigError naming the key.
        """
        rules.check_config(config, OWN_RULES | SHARED_RULES)
        return cls(config, {name: TwoStage.prepare(_paper(config, name)) for name in config.protocols})

    def steps(self) -> dict[str, int]:
        """How many steps each training takes, by its folder in the workdir."""
        steps = {}
        for protocol, paper in self.two_stage.items():
            for name, count in paper.steps().items():
                steps[name if name.endswith("pretrain") else f"{protocol}/{name}"] = count
        for protocol, condition in cells(self.config):
            steps[f"{protocol}/{condition}/frames"] = self.config.frames.steps[protocol]
            steps[f"{protocol}/{condition}/clips"] = self.config.clips.steps[protocol]
        return steps

    def rows(self, fitting: Fitting) -> Iterator[Row]:
        """Trains what `fitting` has not trained yet and evaluates it."""
        fitting.require_finished(self.steps())
        for protocol, condition in cells(self.config):
            yield from self._two_stages(protocol, condition, fitting)
            task, trained = self.task(protocol, condition), self.frames(protocol, condition, fitting)
            accuracy = task.accuracy(trained.params, trained.model_state, self.config.test_videos)
            yield _row("mean_pooling", protocol, condition, np.array([accuracy["mean_pooling"]]))
            trained = self.clips(protocol, condition, trained, fitting)
            accuracy = task.accuracy(trained.params, trained.model_state, self.config.test_videos)
            yield _row("cnn_lstm", protocol, condition, np.array([accuracy["cnn_lstm"]]))

    def task(self, protocol: str, condition: str) -> StreamedVideos:
        """What is trained on streamed videos."""
        config, videos = self.config, self.two_stage[protocol].videos(condition, "test")
        clips = dataclasses.replace(videos, frames_per_setting=1, stride=videos.frames_per_setting)
        model = CNNLSTM(
            num_classes=len(clips.classes),
            lstm_units=config.clips.units,
            axis_name=PMAP_AXIS if config.parallel == "pmap" else None,
        )
        return StreamedVideos(model, self.two_stage[protocol].pools, clips, config.seed)

    def frames(self, protocol: str, condition: str, fitting: Fitting) -> Trained:
        """The CNN, trained on single frames; the LSTM as it starts."""
        config, settings = self.config, self.config.frames
        task = self.task(protocol, condition)
        phase = task.frames_phase(
            f"{protocol}, {condition}: frames",
            steps=settings.steps[protocol],
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
            curve_videos=config.curve.videos,
            evaluate_every=config.curve.every,
        )
        return fitting.fit(
            f"{protocol}/{condition}/frames",
            [phase],
            *task.initial(),
            seed=config.seed,
            batch_size=settings.batch_size,
            log_every=config.log_every,
        )

    def clips(self, protocol: str, condition: str, start: Trained, fitting: Fitting) -> Trained:
        """CNN and LSTM, trained end to end from the CNN of `frames`."""
        config, settings = self.config, self.config.clips
        phase = self.task(protocol, condition).clips_phase(
            f"{protocol}, {condition}: clips",
            steps=settings.steps[protocol],
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            cnn_learning_rate=settings.cnn_learning_rate,
            optimizer=settings.optimizer,
            cnn_optimizer=settings.cnn_optimizer,
            schedule=settings.schedule,
            frame_loss=settings.frame_loss,
            curve_videos=config.curve.videos,
            evaluate_every=config.curve.every,
        )
        return fitting.fit(
            f"{protocol}/{condition}/clips",
            [phase],
            start.params,
            start.model_state,
            seed=config.seed,
            batch_size=settings.batch_size,
            log_every=config.log_every,
        )

    def _two_stages(self, protocol: str, condition: str, fitting: Fitting) -> Iterator[Row]:
        paper = self.two_stage[protocol]
        second = dataclasses.replace(fitting, workdir=fitting.workdir / protocol)
        for name in self.config.models:
            scores = paper.scores(name, condition, paper.pretrained(name, fitting), second)
            yield _row(f"{name}_lstm", protocol, condition, np.asarray(scores.accuracy, np.float64))


def cells(config: Config) -> Iterator[tuple[str, str]]:
    """Every protocol with every condition."""
    return itertools.product(config["protocols"], config["conditions"])


def _paper(config: Config, protocol: str) -> Config:
    """The settings of the two stages."""
    values = config.to_dict()
    shared = {key.partition(".")[0] for key in SHARED_RULES}
    return Config({key: values[key] for key in shared} | {"experiment": "two_stage", "protocol": protocol})


def _row(model: str, protocol: str, condition: str, accuracies: np.ndarray) -> Row:
    mean, std = float(accuracies.mean()), float(accuracies.std())
    _log.info("%s, %s, %s: %.2f%%", protocol, condition, model, 100 * mean)
    return Row("A2", model, condition, protocol, "accuracy", mean, std, len(accuracies))
