"""Pretraining of a frame CNN on single digits, Scaled MNIST (Shan & Atanasov 2017, "Training details")."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from geoattn_jax.data.digits import Split
from geoattn_jax.data.scaled_digits import ScaledDigits, ShiftIn, render_scaled_digits
from geoattn_jax.experiments.core.losses import Weights, cross_entropy
from geoattn_jax.experiments.digits.loaded_digits import LoadedDigits
from geoattn_jax.experiments.digits.update_rules import update_rule
from geoattn_jax.training import Phase
from geoattn_jax.training.devices import Rows, on_all_devices
from geoattn_jax.training.phase import Params

TEST_FRAMES = 1000
TEST_BATCH = 50


@dataclasses.dataclass(frozen=True, eq=False)  # compared and hashed as itself, for jit
class ScaledDigitsTask:
    """Which digit a stretched and shifted image shows.

    Attributes:
      cnn: gives 10 logits.
      digits: the digits that the images are drawn from.
      frame_size: height and width, pixels.
      seed: of the test images; training is given the run's.
      shift_in: see `render_scaled_digits`.
    """

    cnn: nn.Module
    digits: LoadedDigits
    frame_size: int
    seed: int
    shift_in: ShiftIn = "target"

    def initial_params(self) -> Params:
        """The CNN's parameters under the label "cnn"."""
        images = jnp.zeros((1, self.frame_size, self.frame_size, 1))
        return {"cnn": jax.jit(self.cnn.init)(jax.random.key(self.seed), images)["params"]}

    def phase(
        self,
        name: str,
        *,
        steps: int,
        batch_size: int,
        sub_batches: int = 1,
        learning_rate: float,
        evaluate_every: int,
        optimizer: str = "adadelta",
        schedule: str = "constant",
    ) -> Phase:
        """Learns from the cross-entropy of endless images, never the same one twice.

        Args:
          name: of the phase.
          steps: how many batches.
          batch_size: images in a batch.
          sub_batches: see `Phase`.
          learning_rate: the highest.
          evaluate_every: after how many steps.
          optimizer, schedule: see `update_rule`; the paper's are the defaults.
        """
        rule = update_rule(optimizer, schedule, learning_rate=learning_rate, steps=steps)

        def batch(seed: int, step: int, rows: Rows) -> ScaledDigits:
            return self._render("train", seed, step * batch_size + rows)

        def loss(params, model_state, batch, key, weights: Weights = None):
            del key
            loss, accuracy = cross_entropy(self._logits(params, batch), batch.labels, weights)
            return loss, (model_state, {"accuracy": accuracy})

        return Phase(
            name,
            steps=steps,
            batch=batch,
            loss=loss,
            optimizers={"cnn": rule},
            evaluate=lambda params, model_state: {"accuracy": self.test_accuracy(params)},
            evaluate_every=evaluate_every,
            batch_size=batch_size,
            sub_batches=sub_batches,
            weighted=True,
        )

    def test_accuracy(self, params: Params) -> float:
        """The accuracy on a fixed set of images of the test digits."""
        correct = on_all_devices(
            self._correct,
            params,
            lambda rows: self._render("test", self.seed, rows),
            count=TEST_FRAMES,
            batch_size=TEST_BATCH,
        )
        return float(np.concatenate(list(correct)).mean())

    def _render(self, split: Split, seed: int, indices: Rows) -> ScaledDigits:
        digits = self.digits.by_split[split]
        return render_scaled_digits(
            digits, seed, indices.astype(np.int32), frame_size=self.frame_size, shift_in=self.shift_in
        )

    def _logits(self, params: Params, images: ScaledDigits) -> Float[Array, "b 10"]:
        return self.cnn.apply({"params": params["cnn"]}, images.frames - self.digits.mean)

    @partial(jax.jit, static_argnums=0)
    def _correct(self, params: Params, images: ScaledDigits) -> Bool[Array, " b"]:
        return self._logits(params, images).argmax(-1) == images.labels
