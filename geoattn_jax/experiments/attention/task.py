"""The phases of supervised attention (Liu et al. 2019, section 3.2): guided first, then trained jointly.

  guide   the localizer regresses theta_1 to theta_2 (L1); beside it the recognizer learns on crops
  joint   cross-entropy of what the recognizer says of the region that the localizer chose; both learn

A plain STN's localizer goes through the second phase only. In the controls the hard-coded region, or the one
around what tells the classes apart, takes the localizer's place.
"""

import dataclasses
from collections.abc import Callable, Mapping
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
from geoattn_jax.experiments.core.losses import Weights, cross_entropy, mean, mean_of_known
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.ops.precision import widen
from geoattn_jax.training import Phase
from geoattn_jax.training.devices import Rows, on_all_devices
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
      reads_ahead: how many batches threads should read ahead; 0 where frames come from no files.
    """

    level: Level
    channels: int
    num_classes: int
    panel_hw: tuple[float, float] | None
    reads_ahead: int

    def training(self, draw: tuple[int, int, int], batch_size: int, rows: Rows) -> Any:
        """Some examples of a batch of random ones.

        Args:
          draw: what the batch is a function of: the seed, the number of the phase, and the step.
          batch_size: how many examples it has.
          rows: which of them.
        """

    def num_samples(self, split: Split) -> int:
        """How many there are to evaluate, one for each clip."""

    def evaluation(self, split: Split, rows: Rows) -> Any:
        """Some of those, the same ones every time."""

    def prepare(self, batch: Any) -> Samples:
        """What those methods give, as networks get it; a part of compiled programs."""


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
      sub_batches: see `Phase`.
      evaluation_batch: how many frames a device evaluates at a time.
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

        def loss(params, model_state, batch, key, weights: Weights = None):
            samples = self.frames.prepare(batch)
            crop_key, *dropout_keys = jax.random.split(key, 3)
            seen = samples.frames, samples.top_left
            theta, model_state = self._train(params, model_state, "localize", *seen, key=dropout_keys[0])
            guiding = mean(jnp.abs(theta - samples.theta_2), weights)
            crop = self._attend(samples, recognizer_crops(crops, samples, crop_key))
            logits, model_state = self._train(params, model_state, "recognize", crop, key=dropout_keys[1])
            recognition, accuracy = cross_entropy(logits, samples.labels, weights)
            metrics = {"guiding": guiding, "crop_accuracy": accuracy}
            metrics |= self._means(self._measure(theta, samples), weights)
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

        def loss(params, model_state, batch, key, weights: Weights = None):
            samples = self.frames.prepare(batch)
            train = partial(self._train, params, model_state)
            region_key, dropout_key = (key, key) if region == "attended" else jax.random.split(key)
            aside = jax.random.uniform(region_key, samples.hand.shape, minval=-1, maxval=1)
            (logits, theta), model_state = self._see(train, samples, dropout_key, region, aside)
            loss, accuracy = cross_entropy(logits, samples.labels, weights)
            metrics = {"accuracy": accuracy, **self._means(self._measure(theta, samples), weights)}
            return loss, (model_state, metrics)

        rates = localizer_rate, recognizer_rate
        return self._phase("joint", loss, updates, rates, schedule, evaluate_every, region=region)

    def outcome(self, variables: Variables, split: Split, region: Region) -> Outcome:
        """Recognizes a frame of each clip of a split, with running statistics; nothing is dropped."""
        parts = on_all_devices(
            lambda variables, batch: self._outcome(variables, batch, region),
            variables,
            partial(self.frames.evaluation, split),
            count=self.frames.num_samples(split),
            batch_size=self.evaluation_batch,
            reads_ahead=self.frames.reads_ahead,
        )
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def theta(self, variables: Variables, batch: Any, region: Region) -> Float[Array, "b 2 3"]:
        """Where the recognizer looks in some frames, of which `batch` is what the frame source gave."""
        return self._outcome(variables, batch, region).theta

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
        def batch(seed: int, step: int, rows: Rows) -> Any:
            draw = seed, ("guide", "joint").index(name), step
            return self.frames.training(draw, self.batch_size, rows)

        def optimizer(rate: float) -> optax.GradientTransformation:
            return self.optimizer(SCHEDULES[schedule](rate, updates, round(WARM_UP * updates)))

        localizer_rate, recognizer_rate = rates
        optimizers = {"recognizer": optimizer(recognizer_rate)}
        if region == "attended":
            optimizers |= {label: optimizer(localizer_rate) for label in ("localizer", "transformer")}
        return Phase(
            name,
            steps=updates,
            batch=batch,
            loss=loss,
            optimizers=optimizers,
            evaluate=partial(self._evaluate, region=region),
            evaluate_every=evaluate_every,
            batch_size=self.batch_size,
            sub_batches=self.sub_batches,
            weighted=True,
            reads_ahead=self.frames.reads_ahead,
        )

    def _evaluate(self, params: Params, model_state: ModelState, *, region: Region) -> dict[str, float]:
        """On the validation frames; with the theta of the first ones, from which the regions can be drawn."""
        outcome = self.outcome({"params": params, **model_state}, "validation", region)
        followed = {
            f"theta_{number}_{row}{column}": outcome.theta[number, row, column]
            for number in range(min(FOLLOWED, len(outcome.theta)))
            for row in range(2)
            for column in range(3)
        }
        measures = jax.tree.map(jnp.asarray, outcome.measures)
        return {"accuracy": outcome.correct.mean(), **self._means(measures, None), **followed}

    @partial(jax.jit, static_argnums=(0, 3))
    def features(self, variables: Variables, batch: Any, region: Region) -> Float[Array, "b f"]:
        """What the recognizer makes of each region before it classifies, in float32, see `SSTN.features`.

        Args:
          variables: trained.
          batch: the frames, as the frame source gave them.
          region: which one of each.
        """
        samples = self.frames.prepare(batch)
        if region == "attended":
            theta = self.model.apply(
                variables, samples.frames, samples.top_left, train=False, method="localize"
            )
        else:
            theta = control_theta(region, samples, _aside(samples), self.model.crop_hw)
        features = self.model.apply(variables, self._attend(samples, theta), method="features")
        return widen(features)  # files and descriptors hold no bfloat16

    @partial(jax.jit, static_argnums=(0, 3))
    def _outcome(self, variables: Variables, batch: Any, region: Region) -> Outcome:
        samples = self.frames.prepare(batch)

        def evaluate(method: str, *inputs: Array, key: PRNGKeyArray) -> tuple[Any, ModelState]:
            del key  # nothing is dropped
            return self.model.apply(variables, *inputs, train=False, method=method), {}

        (logits, theta), _ = self._see(evaluate, samples, jax.random.key(0), region, _aside(samples))
        correct = logits.argmax(-1) == samples.labels
        return Outcome(correct, theta, self._measure(theta, samples), samples.labels)

    def _see(
        self,
        apply: Callable[..., tuple[Any, ModelState]],
        samples: Samples,
        key: PRNGKeyArray,
        region: Region,
        aside: Float[Array, "b 2"],
    ) -> tuple[tuple[Float[Array, "b classes"], Float[Array, "b 2 3"]], ModelState]:
        """The logits of a region and its theta, and the model state after that.

        Args:
          apply: calls a method of the model, see `_train`.
          samples: the frames.
          key: of this call.
          region: which one of each.
          aside: how far a control's region lies aside, see `control_theta`.
        """
        if region == "attended":
            return apply("__call__", samples.frames, samples.top_left, key=key)
        theta = control_theta(region, samples, aside, self.model.crop_hw)
        logits, model_state = apply("recognize", self._attend(samples, theta), key=key)
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

    def _means(self, measures: Measures, weights: Weights) -> dict[str, Float[Array, ""]]:
        """The means over all regions; of the hand's and the panel's, over those frames that have one."""
        known = Measures._fields if self.frames.panel_hw else OF_ANY_REGION
        return {name: mean_of_known(getattr(measures, name), weights) for name in known}


def _aside(samples: Samples) -> Float[Array, "b 2"]:
    """How far a control's region lies aside in evaluation: the same in all frames of a clip."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), samples.clips)
    return jax.vmap(lambda key: jax.random.uniform(key, (2,), minval=-1, maxval=1))(keys)
