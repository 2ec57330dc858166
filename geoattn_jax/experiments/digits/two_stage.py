"""Paper A's experiment: pretrain a CNN on single digits, freeze it, train an LSTM on its features.

Shan & Atanasov 2017, Table 1. For each model, in folders of the workdir: `MODEL/pretrain` (checkpoints and
metrics), then for each condition `MODEL/CONDITION/train.npz` and `test.npz`, the features of all frames
(under `same_frames` the first alone), and `MODEL/CONDITION/lstm`, the rounds.
"""

import dataclasses
import logging
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geoattn_jax.data.digits import Split
from geoattn_jax.data.moving_digits import MovingDigits, Videos, render_videos
from geoattn_jax.experiments.core.config import Config, computation, restrict
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.stages import Plan
from geoattn_jax.experiments.digits.cnns import make_cnn
from geoattn_jax.experiments.digits.loaded_digits import LoadedDigits, load_config_digits
from geoattn_jax.experiments.digits.lstm_rounds import (
    Scores,
    Sequences,
    initial_rounds,
    rounds_phase,
    score_rounds,
)
from geoattn_jax.experiments.digits.phase_settings import fit_phase, phase_options
from geoattn_jax.experiments.digits.pretraining import ScaledDigitsTask
from geoattn_jax.experiments.digits.published import printed
from geoattn_jax.experiments.digits.two_stage_plan import (
    TESTED_ON,
    check,
    features_file,
    make_two_stage_plan,
    num_classes,
)
from geoattn_jax.models.video_classifier import VideoClassifier
from geoattn_jax.ops.precision import widen
from geoattn_jax.training import cached_arrays
from geoattn_jax.training.devices import on_all_devices
from geoattn_jax.training.phase import Params

_log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """What the trained networks come to.

    Attributes:
      digits: each CNN's accuracy on single digits, by its name.
      videos: every round's loss and accuracy, by CNN, condition and protocol.
    """

    digits: dict[str, float]
    videos: dict[tuple[str, str, str], Scores]


@dataclasses.dataclass(frozen=True)
class TwoStage:
    """The experiment of one config.

    Attributes:
      plan: its stages.
      digits: its digits.
      fitting: trains the CNNs, or reads what was trained.
      second: likewise the LSTMs, perhaps in a folder of their own.
    """

    plan: Plan
    digits: LoadedDigits
    fitting: Fitting
    second: Fitting

    @classmethod
    def prepare(cls, config: Config, fitting: Fitting) -> "TwoStage":
        """Checks what the rules cannot say, and loads the digits.

        Raises: ConfigError naming the key.
        """
        check(config)
        fitting.check_batches("pretrain", "lstm", fills=True)
        return cls(
            make_two_stage_plan(config),
            load_config_digits(restrict(config, ("digits", "data_dir", "frame_size"))),
            fitting,
            fitting,
        )

    def videos(self, condition: str, split: Split) -> MovingDigits:
        """The videos of a condition."""
        return _videos(self.plan.results, condition, split)

    def render(self, condition: str, split: Split, indices: Int[np.ndarray, " b"]) -> Videos:
        """Some of the videos, in [0, 1]."""
        return self._render(self.plan.results, condition, split, indices)

    def data(self, known: DataRecord) -> DataRecord:
        """What identifies the digits."""
        del known
        return self.digits.record

    def measure(self) -> Measured:
        """Trains what is not trained yet and evaluates it."""
        digits, videos = {}, {}
        for name in self.plan.results.models:
            cnn_params = self.pretrained(name)
            digits[name] = self.task(name).test_accuracy(cnn_params)
            _log.info("%s: %.1f%% of single digits", name, 100 * digits[name])
            for condition in self.plan.results.conditions:
                for protocol, scores in self.scores(name, condition, cnn_params).items():
                    cell = name, condition, protocol
                    _log.info("%s: %.2f%%", ", ".join(cell), 100 * scores.accuracy.mean())
                    videos[cell] = scores
        return Measured(digits, videos)

    def rows(self, measured: Measured) -> list[Row]:
        """Of each model the accuracy on single digits, then losses and accuracies under the conditions."""
        rows = []
        for name, accuracy in measured.digits.items():
            pretraining = Row.of_runs(
                [accuracy],
                table="pretraining",
                model=name,
                condition="scaled_digits",
                protocol="new_digits",
                metric="accuracy",
            )
            rows.append(pretraining)
            rows += [
                _row(*cell, metric, np.asarray(values, np.float64))
                for cell, scores in measured.videos.items()
                if cell[0] == name
                for metric, values in scores._asdict().items()
            ]
        return rows

    def task(self, name: str) -> ScaledDigitsTask:
        """What the CNN is pretrained on."""
        settings = self.plan.settings(f"{name}/pretrain")
        return ScaledDigitsTask(
            cnn=make_cnn(name, frame_size=settings.frame_size, **computation(settings)),
            digits=self.digits,
            frame_size=settings.frame_size,
            seed=settings.seed,
            shift_in=settings.pretrain.shift_in,
        )

    def pretrained(self, name: str) -> Params:
        """The first stage."""
        task, folder = self.task(name), f"{name}/pretrain"
        settings = self.plan.settings(folder)
        group = settings.pretrain
        options = phase_options(group, steps=group.steps[name], without=["shift_in"])
        phase = task.phase(f"{name}: pretraining", **options)
        start = task.initial_params(), {}
        return fit_phase(self.fitting, folder, phase, *start, settings=settings).params

    def scores(self, name: str, condition: str, cnn_params: Params) -> dict[str, Scores]:
        """The second stage: every round's test loss and accuracy, by protocol."""
        folder = f"{name}/{condition}/lstm"
        settings = self.plan.settings(folder)
        head = VideoClassifier(
            self.task(name).cnn,
            num_classes=num_classes(settings.protocol),
            lstm_units=settings.lstm.units,
            dtype=settings.dtype,
            gate_activation=settings.lstm.gate_activation,
        )
        train = self._sequences(name, head, cnn_params, condition, "train")
        options = phase_options(settings.lstm, without=["units", "gate_activation"])
        phase = rounds_phase(f"{name}, {condition}: LSTM", head, train, **options)
        start = initial_rounds(head, train, seed=settings.seed, rounds=settings.lstm.rounds), {}
        trained = fit_phase(self.second, folder, phase, *start, settings=settings, log_every=1)
        scores = {}
        for protocol, split in TESTED_ON[settings.protocol].items():
            tested = train if split == "train" else self._sequences(name, head, cnn_params, condition, split)
            scores[protocol] = score_rounds(head, trained.params, tested)
        return scores

    def _sequences(
        self, name: str, head: VideoClassifier, cnn_params: Params, condition: str, split: Split
    ) -> Sequences:
        """The features of all frames: kept in the workdir for training, computed anew to evaluate."""
        file = features_file(name, condition, split)

        def extract() -> dict[str, np.ndarray]:
            _log.info("%s, %s: features of the %s frames", name, condition, split)
            return self._extract(self.plan.settings(file), head, cnn_params, condition, split)

        kept = self.second.trains or split == "train"
        arrays = cached_arrays(self.second.workdir / file, extract) if kept else extract()
        return Sequences(jnp.asarray(arrays["features"]), jnp.asarray(arrays["labels"]))

    def _extract(
        self, settings: Config, head: VideoClassifier, cnn_params: Params, condition: str, split: Split
    ) -> dict[str, np.ndarray]:
        began = time.monotonic()

        def compute(shared: tuple[Params, Array], videos: Videos) -> tuple[Array, Array]:
            return _features(head, shared[0], videos.frames, shared[1]), videos.labels

        parts = on_all_devices(
            compute,
            (cnn_params, jnp.float32(self.digits.mean)),
            lambda rows: self._render(settings, condition, split, rows.astype(np.int32)),
            count=len(_videos(settings, condition, split).classes),
            batch_size=1,
        )
        features, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return {"features": features, "labels": labels, "seconds": np.array(time.monotonic() - began)}

    def _render(
        self, settings: Config, condition: str, split: Split, indices: Int[np.ndarray, " b"]
    ) -> Videos:
        video = _videos(settings, condition, split)
        return render_videos(video, self.digits.by_split[video.digits_split], settings.seed, indices)


def _row(name: str, condition: str, protocol: str, metric: str, values: Float[np.ndarray, " rounds"]) -> Row:
    return Row.of_runs(
        values,
        table="A1",
        model=f"{name}_lstm",
        condition=condition,
        protocol=protocol,
        metric=metric,
        paper=printed(name, condition, metric, protocol=protocol),
    )


def _videos(settings: Config, condition: str, split: Split) -> MovingDigits:
    return MovingDigits(
        condition, settings.protocol, split, frame_size=settings.frame_size, **settings.video.to_dict()
    )


@partial(jax.jit, static_argnums=0)
def _features(
    head: VideoClassifier,
    cnn_params: Params,
    frames: Float[Array, "b t h w 1"],
    mean: Float[Array, ""],
) -> Float[Array, "b t f"]:
    features = head.apply({"params": cnn_params}, frames - mean, method="features")
    return widen(features)  # files hold no bfloat16
