"""Training on endless videos: a CNN that classifies their frames, and CNN and LSTM end to end on clips.

The future work of Shan & Atanasov 2017. Both train the same parameters, those of `CNNLSTM`, first with the
LSTM frozen. No video is ever seen twice.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.data.moving_digits import MovingDigits, Videos, render_videos
from geoattn_jax.experiments.core.losses import cross_entropy
from geoattn_jax.experiments.digits.loaded_digits import LoadedDigits
from geoattn_jax.experiments.digits.update_rules import update_rule
from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.models.frame_cnn import mean_log_probabilities
from geoattn_jax.training import Phase
from geoattn_jax.training.devices import Rows, on_all_devices
from geoattn_jax.training.phase import ModelState, Params

TEST_BATCH = 50  # clips
FIRST_CLIP = 2**30  # index of a stream far from that of the frames, so that clips show other videos


@dataclasses.dataclass(frozen=True)
class StreamedVideos:
    """Which two digits a video shows.

    Attributes:
      model: gives logits of the video's class at every frame, with and without the LSTM.
      digits: the digits.
      clips: the test videos, with one frame of each setting.
      seed: of the videos.
    """

    model: CNNLSTM
    digits: LoadedDigits
    clips: MovingDigits
    seed: int

    def initial(self) -> tuple[Params, ModelState]:
        """The parameters, with the labels "cnn", "lstm" and "fc", and the CNN's statistics."""
        video = jnp.zeros((1, 1, self.clips.frame_size, self.clips.frame_size, 1))
        initialize = jax.jit(partial(self.model.init, train=False))
        variables = initialize(jax.random.key(self.seed), video)
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def frames_phase(
        self,
        name: str,
        *,
        steps: int,
        batch_size: int,
        sub_batches: int = 1,
        learning_rate: float,
        optimizer: str,
        schedule: str,
        curve_videos: int,
        evaluate_every: int,
    ) -> Phase:
        """The CNN learns from single frames, each of another video.

        Args:
          name: of the phase.
          steps: how many batches.
          batch_size: frames in a batch.
          sub_batches: see `Phase`.
          learning_rate: the highest.
          optimizer, schedule: see `update_rule`.
          curve_videos: how many test clips the CNN is evaluated on while it learns.
          evaluate_every: after how many steps.
        """
        stream = dataclasses.replace(self.clips, split="train", settings=1)

        def loss(params, model_state, batch, key):
            del key
            (_, logits), model_state = self._train(params, model_state, batch)
            cross_entropy, accuracy = _cross_entropy(logits, batch.labels)
            return cross_entropy, (model_state, {"frame_accuracy": accuracy})

        return Phase(
            name,
            steps=steps,
            batch=lambda seed, step, rows: self._render(stream, seed, step * batch_size + rows),
            loss=loss,
            optimizers={"cnn": update_rule(optimizer, schedule, learning_rate=learning_rate, steps=steps)},
            evaluate=lambda *trained: {"accuracy": self.accuracy(*trained, curve_videos)["mean_pooling"]},
            evaluate_every=evaluate_every,
            batch_size=batch_size,
            sub_batches=sub_batches,
        )

    def clips_phase(
        self,
        name: str,
        *,
        steps: int,
        batch_size: int,
        sub_batches: int = 1,
        learning_rate: float,
        cnn_learning_rate: float,
        optimizer: str,
        cnn_optimizer: str,
        schedule: str,
        frame_loss: float,
        curve_videos: int,
        evaluate_every: int,
    ) -> Phase:
        """CNN and LSTM learn from clips with one frame of each setting.

        Args:
          name: of the phase.
          steps: how many batches.
          batch_size: clips in a batch.
          sub_batches: see `Phase`.
          learning_rate: of the LSTM and what follows it, the highest.
          cnn_learning_rate: of the CNN.
          optimizer: of the LSTM and what follows it, see `update_rule`.
          cnn_optimizer: of the CNN.
          schedule: of both.
          frame_loss: weight of the loss of single frames, which keeps the CNN a frame classifier.
          curve_videos: how many test clips the model is evaluated on while it learns.
          evaluate_every: after how many steps.
        """
        stream = dataclasses.replace(self.clips, split="train")

        def loss(params, model_state, batch, key):
            del key
            (logits, frame_logits), model_state = self._train(params, model_state, batch)
            of_steps, accuracy = _cross_entropy(logits, batch.labels)
            of_frames, frame_accuracy = _cross_entropy(frame_logits, batch.labels)
            metrics = {"step_accuracy": accuracy, "frame_accuracy": frame_accuracy}
            return of_steps + frame_loss * of_frames, (model_state, metrics)

        head = update_rule(optimizer, schedule, learning_rate=learning_rate, steps=steps)
        cnn = update_rule(cnn_optimizer, schedule, learning_rate=cnn_learning_rate, steps=steps)
        return Phase(
            name,
            steps=steps,
            batch=lambda seed, step, rows: self._render(stream, seed, FIRST_CLIP + step * batch_size + rows),
            loss=loss,
            optimizers={"cnn": cnn, "lstm": head, "fc": head},
            evaluate=lambda *trained: {"accuracy": self.accuracy(*trained, curve_videos)["cnn_lstm"]},
            evaluate_every=evaluate_every,
            batch_size=batch_size,
            sub_batches=sub_batches,
        )

    def accuracy(self, params: Params, model_state: ModelState, videos: int) -> dict[str, float]:
        """The accuracy on the first test clips, of the mean over the frames and of the LSTM."""
        parts = on_all_devices(
            self._correct,
            (params, model_state),
            partial(self._render, self.clips, self.seed),
            count=videos,
            batch_size=TEST_BATCH,
        )
        correct = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
        return {name: float(of_clips.mean()) for name, of_clips in correct.items()}

    def _render(self, video: MovingDigits, seed: int, indices: Rows) -> Videos:
        return render_videos(video, self.digits.by_split[video.digits_split], seed, indices.astype(np.int32))

    def _correct(self, variables: tuple[Params, ModelState], batch: Videos) -> dict[str, Bool[Array, " b"]]:
        return _correct(self.model, *variables, batch.frames, batch.labels, self.digits.mean)

    def _train(
        self, params: Params, model_state: ModelState, batch: Videos
    ) -> tuple[tuple[Float[Array, "b t c"], Float[Array, "b t c"]], ModelState]:
        frames = batch.frames - self.digits.mean
        return self.model.apply(
            {"params": params, **model_state}, frames, train=True, mutable=["batch_stats"]
        )


@partial(jax.jit, static_argnums=0)
def _correct(
    model: CNNLSTM,
    params: Params,
    model_state: ModelState,
    frames: Float[Array, "b t h w 1"],
    labels: Int[Array, " b"],
    mean: float | Float[Array, ""],
) -> dict[str, Bool[Array, " b"]]:
    """Which clips the mean over the frames gets right, and which the LSTM."""
    steps, alone = model.apply({"params": params, **model_state}, frames - mean, train=False)
    scores = {"mean_pooling": mean_log_probabilities(alone), "cnn_lstm": steps[:, -1]}
    return {name: score.argmax(-1) == labels for name, score in scores.items()}


def _cross_entropy(
    logits: Float[Array, "b t c"], labels: Int[Array, " b"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean over all videos and frames, and the accuracy."""
    return cross_entropy(logits, jnp.broadcast_to(labels[:, None], logits.shape[:2]))
