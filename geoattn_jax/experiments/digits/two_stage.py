"""Paper A's experiment: pretrain a CNN on single digits, freeze it, train an LSTM on its features.

Shan & Atanasov 2017, Table 1. For each model, in folders of the workdir: `MODEL/pretrain` (checkpoints and
metrics), then for each condition `MODEL/CONDITION/train.npz` and `test.npz`, the features of all frames, and
`MODEL/CONDITION/lstm`, the rounds.
"""

import dataclasses
import logging
import time
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from ml_collections import config_dict

from geoattn_jax.data.digits import SOURCES, Split
from geoattn_jax.data.moving_digits import CONDITIONS, PROTOCOLS, MovingDigits, Videos, render_videos
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError, Rule
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.digits.digit_pools import Pools, load_pools
from geoattn_jax.experiments.digits.lstm_rounds import (
    Scores,
    Sequences,
    initial_rounds,
    num_updates,
    rounds_phase,
    score_rounds,
)
from geoattn_jax.experiments.digits.pretraining import CNNS, ScaledDigitsTask, make_cnn
from geoattn_jax.experiments.digits.published import printed
from geoattn_jax.models.video_classifier import VideoClassifier
from geoattn_jax.training import Row, cached_arrays
from geoattn_jax.training.optimizers import ELEMENTWISE, OPTIMIZERS
from geoattn_jax.training.parallel import PARALLELISMS
from geoattn_jax.training.phase import Params
from geoattn_jax.training.schedules import SCHEDULES

_log = logging.getLogger(__name__)

RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["two_stage"]),
    "seed": rules.whole(0, 2**31 - 1),
    "digits": rules.one_of(SOURCES),
    "data_dir": rules.optional_text(),
    "frame_size": rules.whole(28),
    "video.settings": rules.whole(1),
    "video.frames_per_setting": rules.whole(1),
    "models": rules.some_of(CNNS),
    "conditions": rules.some_of(CONDITIONS),
    "protocol": rules.one_of(PROTOCOLS),
    **{f"pretrain.steps.{name}": rules.whole(1) for name in CNNS},
    "pretrain.batch_size": rules.whole(1),
    "pretrain.learning_rate": rules.positive(),
    "pretrain.optimizer": rules.one_of(OPTIMIZERS),
    "pretrain.schedule": rules.one_of(SCHEDULES),
    "pretrain.evaluate_every": rules.whole(1),
    "lstm.rounds": rules.whole(1),
    "lstm.epochs": rules.whole(1),
    "lstm.batch_size": rules.whole(1),
    "lstm.units": rules.whole(1),
    "lstm.learning_rate": rules.positive(),
    "lstm.optimizer": rules.one_of(ELEMENTWISE),
    "lstm.schedule": rules.one_of(SCHEDULES),
    "parallel": rules.one_of(PARALLELISMS),
    "log_every": rules.whole(1),
    "checkpoint_every": rules.whole(1),
    "tensorboard": rules.boolean(),
}


def paper_config() -> Config:
    """The paper's settings, from which the files in configs/ depart."""
    epochs, digits = 5, 60_000
    steps = epochs * digits // 32
    return Config(
        {
            "experiment": "two_stage",
            "seed": 0,
            "digits": "mnist",
            "data_dir": config_dict.placeholder(str),  # the folder of MNIST's IDX files
            "frame_size": 64,
            "video": {"settings": 10, "frames_per_setting": 5},
            "models": ("lenet", "stn", "dcn"),
            "conditions": ("normal", "rotation", "scaling", "rotation_scaling"),
            "protocol": "interleaved",
            "pretrain": {
                "batch_size": 32,
                "learning_rate": 1.0,
                "optimizer": "adadelta",
                "schedule": "constant",
                "steps": {"lenet": steps, "stn": steps, "dcn": steps, "deform": steps},
                "evaluate_every": 500,
            },
            "lstm": {
                "rounds": 300,
                "epochs": 10,
                "batch_size": 50,
                "units": 8,
                "learning_rate": 1e-3,
                "optimizer": "rmsprop",
                "schedule": "constant",
            },
            "parallel": "jit",
            "log_every": 10,
            "checkpoint_every": 500,
            "tensorboard": False,
        }
    )


@dataclasses.dataclass(frozen=True)
class TwoStage:
    """The experiment of one config.

    Attributes:
      config: checked.
      pools: its digits.
    """

    config: Config
    pools: Pools

    @classmethod
    def prepare(cls, config: Config) -> "TwoStage":
        """Checks a config and loads the digits.

        Raises: ConfigError naming the key.
        """
        rules.check_config(config, RULES)
        num_videos = _num_videos(config)
        if num_videos % config.lstm.batch_size:
            raise ConfigError(
                f"config.lstm.batch_size must divide the {num_videos} training videos (one for each class of "
                f"the protocol {config.protocol!r}), got {config.lstm.batch_size}"
            )
        return cls(config, load_pools(config))

    def videos(self, condition: str, split: Split) -> MovingDigits:
        """The videos of a condition."""
        config = self.config
        return MovingDigits(
            condition, config.protocol, split, frame_size=config.frame_size, **config.video.to_dict()
        )

    def render(self, condition: str, split: Split, indices: Int[np.ndarray, " b"]) -> Videos:
        """Some of the videos, in [0, 1]."""
        video = self.videos(condition, split)
        return render_videos(video, self.pools.by_split[video.digits_split], self.config.seed, indices)

    def steps(self) -> dict[str, int]:
        """How many steps each training takes, by its folder in the workdir."""
        lstm = self.config.lstm
        updates = num_updates(_num_videos(self.config), epochs=lstm.epochs, batch_size=lstm.batch_size)
        steps = {}
        for name in self.config.models:
            steps[f"{name}/pretrain"] = self.config.pretrain.steps[name]
            steps |= {f"{name}/{condition}/lstm": updates for condition in self.config.conditions}
        return steps

    def rows(self, fitting: Fitting) -> Iterator[Row]:
        """Trains what `fitting` has not trained yet and evaluates it."""
        fitting.require_finished(self.steps())
        for name in self.config.models:
            cnn_params = self.pretrained(name, fitting)
            accuracy = self.task(name).test_accuracy(cnn_params)
            _log.info("%s: %.1f%% of single digits", name, 100 * accuracy)
            yield Row("pretraining", name, "scaled_digits", "new_digits", "accuracy", accuracy, 0.0, 1)
            for condition in self.config.conditions:
                scores = self.scores(name, condition, cnn_params, fitting)
                _log.info("%s, %s: %.2f%%", name, condition, 100 * scores.accuracy.mean())
                for metric, values in scores._asdict().items():
                    yield self._row(name, condition, metric, np.asarray(values, np.float64))

    def task(self, name: str) -> ScaledDigitsTask:
        """What the CNN is pretrained on."""
        config = self.config
        return ScaledDigitsTask(
            cnn=make_cnn(name, frame_size=config.frame_size),
            pools=self.pools,
            frame_size=config.frame_size,
            seed=config.seed,
        )

    def pretrained(self, name: str, fitting: Fitting) -> Params:
        """The first stage."""
        task, settings = self.task(name), self.config.pretrain
        phase = task.phase(
            f"{name}: pretraining",
            steps=settings.steps[name],
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
            evaluate_every=settings.evaluate_every,
        )
        trained = fitting.fit(
            f"{name}/pretrain",
            [phase],
            task.initial_params(),
            {},
            seed=self.config.seed,
            batch_size=settings.batch_size,
            log_every=self.config.log_every,
        )
        return trained.params

    def scores(self, name: str, condition: str, cnn_params: Params, fitting: Fitting) -> Scores:
        """The second stage: every round's test loss and accuracy."""
        config, settings = self.config, self.config.lstm
        cnn = make_cnn(name, frame_size=config.frame_size)
        head = VideoClassifier(
            cnn, num_classes=len(self.videos(condition, "train").classes), lstm_units=settings.units
        )

        def sequences(split: Split) -> Sequences:
            return self._sequences(fitting, name, head, cnn_params, condition, split)

        train = sequences("train")
        phase = rounds_phase(
            f"{name}, {condition}: LSTM",
            head,
            train,
            rounds=settings.rounds,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
        )
        trained = fitting.fit(
            f"{name}/{condition}/lstm",
            [phase],
            initial_rounds(head, train, seed=config.seed, rounds=settings.rounds),
            {},
            seed=config.seed,
            batch_size=settings.batch_size,
            log_every=1,
        )
        return score_rounds(head, trained.params, sequences("test"))

    def _sequences(
        self,
        fitting: Fitting,
        name: str,
        head: VideoClassifier,
        cnn_params: Params,
        condition: str,
        split: Split,
    ) -> Sequences:
        """The features of all frames: kept in the workdir for training, computed anew to evaluate."""

        def extract() -> dict[str, np.ndarray]:
            _log.info("%s, %s: features of the %s frames", name, condition, split)
            return self._extract(head, cnn_params, condition, split)

        path = fitting.workdir / name / condition / f"{split}.npz"
        arrays = cached_arrays(path, extract) if fitting.trains or split == "train" else extract()
        return Sequences(jnp.asarray(arrays["features"]), jnp.asarray(arrays["labels"]))

    def _extract(
        self, head: VideoClassifier, cnn_params: Params, condition: str, split: Split
    ) -> dict[str, np.ndarray]:
        began = time.monotonic()
        parts = []
        for index in range(len(self.videos(condition, split).classes)):
            frames, label = self.render(condition, split, np.array([index], np.int32))
            parts.append((_features(head, cnn_params, frames, self.pools.mean), label))
        features, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return {"features": features, "labels": labels, "seconds": np.array(time.monotonic() - began)}

    def _row(self, name: str, condition: str, metric: str, values: Float[np.ndarray, " rounds"]) -> Row:
        protocol = self.config.protocol
        return Row(
            table="A1",
            model=f"{name}_lstm",
            condition=condition,
            protocol=protocol,
            metric=metric,
            mean=float(values.mean()),
            std=float(values.std()),
            n=len(values),
            paper=printed(name, condition, metric, protocol=protocol),
        )


def _num_videos(config: Config) -> int:
    """One for each class, to train on and to test on."""
    return len(MovingDigits("normal", config.protocol, "train").classes)


@partial(jax.jit, static_argnums=0)
def _features(
    head: VideoClassifier,
    cnn_params: Params,
    frames: Float[Array, "b t h w 1"],
    mean: float | Float[Array, ""],
) -> Float[Array, "b t f"]:
    return head.apply({"params": cnn_params}, frames - mean, method="features")
