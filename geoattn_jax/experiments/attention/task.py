"""The phases of supervised attention (Liu et al. 2019, section 3.2): guided first, then trained jointly.

  guide   the localizer regresses theta_1 to theta_2 (L1); beside it the recognizer learns on crops
  joint   cross-entropy of what the recognizer says of the region that the localizer chose; both learn

A plain STN's localizer goes through the second phase only. In the controls the hard-coded region, or the one
around what tells the classes apart, takes the localizer's place.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from geoattn_jax.data.levels import Level
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.control_regions import Crops, Region, control_theta, recognizer_crops
from geoattn_jax.experiments.attention.region_measures import OF_ANY_REGION, Measures, measure
from geoattn_jax.experiments.attention.samples import Samples
from geoattn_jax.experiments.core.losses import cross_entropy
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.ops.precision import widen
from geoattn_jax.training import Phase, in_sub_batches
from geoattn_jax.training.optimizers import Optimizer
from geoattn_jax.training.phase import ModelState, Params
from geoattn_jax.training.schedules import SCHEDULES

Variables = Mapping[str, Any]  # flax's: "params", and of networks with mutable state their "batch_stats"

WARM_UP = 0.05  # of a phase's updates
FOLLOWED = 4  # frames whose theta is recorded at every evaluation


@runtime_checkable
class FrameSource(Protocol):
    """Where samples come from.

    Attributes:
      level: at whose sizes.
      channels: of the frames.
      num_classes: how many there are.
      panel_hw: height and width of the level's panel, pixels of the level; None if neither hands nor panels
        are known, which are then left out of the metrics.
    """

    level: Level
    channels: int
    num_classes: int
    panel_hw: tuple[float, float] | None

    def training(self, key: PRNGKeyArray, batch_size: int) -> Samples:
        """Random samples, a function of the key."""

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Samples]:
        """All samples of a split, the same ones every time, batch by batch."""


class Outcome(NamedTuple):
    """What became of each of some frames."""

    correct: np.ndarray
    theta: np.ndarray
    measures: Measures
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class AttentionTask:
    """Which action a frame shows, seen through one region of it.

    Equal tasks share their compiled programs.

    Attributes:
      model: the network.
      frames: what it is trained and evaluated on.
      batch_size: of an update.
      sub_batches: into how many parts a batch is split, whose gradients are added up one after another.
      evaluation_batch: how many frames are evaluated at a time.
      optimizer: see `training.optimizers`.
    """

    model: SSTN
    frames: FrameSource
    batch_size: int
    sub_batches: int
    evaluation_batch: int
    optimizer: Optimizer

    def initial(self, seed: int) -> Variables:
        """Of "localizer", "transformer" (the theta layer) and "recognizer"."""

        def init(key: PRNGKeyArray) -> Variables:
            frames = jnp.zeros((1, *self.frames.level.frame_hw, self.frames.channels), jnp.float32)
            return self.model.init(key, frames, jnp.zeros((1, 2), jnp.int32), train=False)

        return jax.jit(init)(jax.random.key(seed))

    def guide(
        self,
        *,
        updates: int,
        crops: Crops,
        localizer_rate: float,
        recognizer_rate: float,
        schedule: str,
        evaluate_every: int,
    ) -> Phase:
        """Regressive guiding of the localizer, and pretraining of the recognizer on crops.

        Args:
          updates: how many.
          crops: where the recognizer's crops lie: "random" is anywhere, as in the paper, "jittered" is around
            the hard-coded region.
          localizer_rate: the highest learning rate.
          recognizer_rate: likewise.
          schedule: of both, one of `SCHEDULES`.
          evaluate_every: updates from one evaluation to the next.
        """

        def loss(params, model_state, samples, key):
            crop_key, *dropout_keys = jax.random.split(key, 3)
            seen = samples.frames, samples.top_left
            theta, model_state = self._train(params, model_state, "localize", *seen, key=dropout_keys[0])
            guiding = jnp.abs(theta - samples.theta_2).mean()
            crop = self._attend(samples, recognizer_crops(crops, samples, crop_key))
            logits, model_state = self._train(params, model_state, "recognize", crop, key=dropout_keys[1])
            recognition, accuracy = cross_entropy(logits, samples.labels)
            metrics = {"guiding": guiding, "crop_accuracy": accuracy}
            metrics |= self._means(self._measure(theta, samples))
            return guiding + recognition, (model_state, metrics)

        rates = localizer_rate, recognizer_rate
        return self._phase("guide", loss, updates, rates, schedule, evaluate_every, region="attended")

    def joint(
        self,
        *,
        updates: int,
        region: Region,
        localizer_rate: float,
        recognizer_rate: float,
        schedule: str,
        evaluate_every: int,
    ) -> Phase:
        """Cross-entropy through the sampler; with another region only the recognizer learns."""

        def loss(params, model_state, samples, key):
            train = partial(self._train, params, model_state)
            (logits, theta), model_state = self._see(train, samples, key, region)
            loss, accuracy = cross_entropy(logits, samples.labels)
            metrics = {"accuracy": accuracy, **self._means(self._measure(theta, samples))}
            return loss, (model_state, metrics)

        rates = localizer_rate, recognizer_rate
        return self._phase("joint", loss, updates, rates, schedule, evaluate_every, region=region)

    def outcome(self, variables: Variables, split: Split, region: Region) -> Outcome:
        """Recognizes a frame of each clip of a split, with running statistics; nothing is dropped."""
        batches = self.frames.evaluation(split, self.evaluation_batch)
        parts = [self._outcome(variables, samples, region) for samples in batches]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def theta(self, variables: Variables, samples: Samples, region: Region) -> Float[Array, "b 2 3"]:
        """Where the recognizer looks."""
        return self._outcome(variables, samples, region).theta

    def _phase(
        self,
        name: str,
        loss: Callable,
        updates: int,
        rates: tuple[float, float],
        schedule: str,
        evaluate_every: int,
        *,
        region: Region,
    ) -> Phase:
        def batch(seed: int, step: int) -> Samples:
            key = jax.random.fold_in(jax.random.key(seed), ("guide", "joint").index(name))
            return self.frames.training(jax.random.fold_in(key, step), self.batch_size // self.sub_batches)

        def optimizer(rate: float) -> optax.GradientTransformation:
            return self.optimizer(SCHEDULES[schedule](rate, updates, round(WARM_UP * updates)))

        localizer_rate, recognizer_rate = rates
        optimizers = {"recognizer": optimizer(recognizer_rate)}
        if region == "attended":
            optimizers |= {label: optimizer(localizer_rate) for label in ("localizer", "transformer")}
        phase = Phase(
            name,
            steps=updates,
            batch=batch,
            loss=loss,
            optimizers=optimizers,
            evaluate=partial(self._evaluate, region=region),
            evaluate_every=evaluate_every,
        )
        return in_sub_batches(phase, self.sub_batches)

    def _evaluate(self, params: Params, model_state: ModelState, *, region: Region) -> dict[str, float]:
        """On the validation frames; with the theta of the first ones, from which the regions can be drawn."""
        outcome = self.outcome({"params": params, **model_state}, "validation", region)
        followed = {
            f"theta_{number}_{row}{column}": outcome.theta[number, row, column]
            for number in range(min(FOLLOWED, len(outcome.theta)))
            for row in range(2)
            for column in range(3)
        }
        return {"accuracy": outcome.correct.mean(), **self._means(outcome.measures), **followed}

    @partial(jax.jit, static_argnums=(0, 3))
    def features(self, variables: Variables, samples: Samples, region: Region) -> Float[Array, "b f"]:
        """What the recognizer makes of each region before it classifies, in float32, see `SSTN.features`.

        Args:
          variables: trained.
          samples: the frames.
          region: which one of each. How far aside a control region lies is drawn from the clip's number: in
            all frames of a clip the same, whatever the batch.
        """
        if region == "attended":
            theta = self.model.apply(
                variables, samples.frames, samples.top_left, train=False, method="localize"
            )
        else:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), samples.clips)
            aside = jax.vmap(lambda key: jax.random.uniform(key, (2,), minval=-1, maxval=1))(keys)
            theta = control_theta(region, samples, aside, self.model.crop_hw)
        features = self.model.apply(variables, self._attend(samples, theta), method="features")
        return widen(features)  # files and descriptors hold no bfloat16

    @partial(jax.jit, static_argnums=(0, 3))
    def _outcome(self, variables: Variables, samples: Samples, region: Region) -> Outcome:
        def evaluate(method: str, *inputs: Array, key: PRNGKeyArray) -> tuple[Any, ModelState]:
            del key  # nothing is dropped
            return self.model.apply(variables, *inputs, train=False, method=method), {}

        (logits, theta), _ = self._see(evaluate, samples, jax.random.key(0), region)
        correct = logits.argmax(-1) == samples.labels
        return Outcome(correct, theta, self._measure(theta, samples), samples.labels)

    def _see(
        self,
        apply: Callable[..., tuple[Any, ModelState]],
        samples: Samples,
        key: PRNGKeyArray,
        region: Region,
    ) -> tuple[tuple[Float[Array, "b classes"], Float[Array, "b 2 3"]], ModelState]:
        """The logits of a region and its theta, and the model state after that.

        Args:
          apply: calls a method of the model, see `_train`.
          samples: the frames.
          key: of this call.
          region: which one of each.
        """
        if region == "attended":
            return apply("__call__", samples.frames, samples.top_left, key=key)
        region_key, dropout_key = jax.random.split(key)
        aside = jax.random.uniform(region_key, samples.hand.shape, minval=-1, maxval=1)
        theta = control_theta(region, samples, aside, self.model.crop_hw)
        logits, model_state = apply("recognize", self._attend(samples, theta), key=dropout_key)
        return (logits, theta), model_state

    def _attend(self, samples: Samples, theta: Float[Array, "b 2 3"]) -> Float[Array, "b rh rw c"]:
        return self.model.apply({}, samples.frames, samples.top_left, theta, method="attend")

    def _train(
        self, params: Params, model_state: ModelState, method: str, *inputs: Array, key: PRNGKeyArray
    ) -> tuple[Any, ModelState]:
        """What a method of the model returns in training, and the new model state."""
        return self.model.apply(
            {"params": params, **model_state},
            *inputs,
            train=True,
            method=method,
            rngs={"dropout": key},
            mutable=list(model_state),
        )

    def _measure(self, theta: Float[Array, "b 2 3"], samples: Samples) -> Measures:
        return measure(
            theta,
            samples.theta_2,
            samples.hand,
            samples.panel,
            crop_hw=self.model.crop_hw,
            region_hw=self.model.region_hw,
            panel_hw=self.frames.panel_hw or (1.0, 1.0),
        )

    def _means(self, measures: Measures) -> dict[str, Float[Array, ""]]:
        """The means over all regions; of the hand's and the panel's, over those frames that have one."""
        known = Measures._fields if self.frames.panel_hw else OF_ANY_REGION
        return {name: jnp.nanmean(jnp.asarray(getattr(measures, name))) for name in known}
