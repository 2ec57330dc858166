"""Many independent trainings of the LSTM on the same features, as one compiled program.

Shan & Atanasov 2017, section "Training details": every cell of Table 1 is the mean over 300 rounds. All
parameters get a leading axis of rounds, and the loss is the *sum* of the rounds' losses, so that each round's
gradient is exactly its own. The optimizer works element by element: each round trains as if it were alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from geoattn_jax.experiments.core.losses import Weights, cross_entropy
from geoattn_jax.experiments.digits.lstm_on_cpu import project_chosen, recur
from geoattn_jax.experiments.digits.update_rules import update_rule
from geoattn_jax.models.video_classifier import VideoClassifier
from geoattn_jax.training import Phase
from geoattn_jax.training.devices import Rows, on_all_devices
from geoattn_jax.training.phase import Params

Features: TypeAlias = Float[Array, "n t f"]
Order: TypeAlias = Int[Array, " b"]  # the numbers of some sequences
Logits: TypeAlias = Float[Array, "b classes"]


class Sequences(NamedTuple):
    """Videos as a CNN's features of every frame, and the videos' classes."""

    features: Features
    labels: Int[Array, " n"]


class RoundsBatch(NamedTuple):
    """One update of all rounds: `order` says which sequences each round sees in it."""

    sequences: Sequences
    order: Int[Array, "b rounds"]


class Scores(NamedTuple):
    """Each round's mean cross-entropy and accuracy on some sequences."""

    loss: Float[Array, " rounds"]
    accuracy: Float[Array, " rounds"]


def initial_rounds(head: VideoClassifier, sequences: Sequences, *, seed: int, rounds: int) -> Params:
    """Initial parameters with a leading axis of rounds; a round's own do not depend on how many there are.

    Args:
      head: a `VideoClassifier`; its method `classify` maps features (b, t, f) to logits.
      sequences: of which the shape matters.
      seed: of the run.
      rounds: how many.
    """
    one = sequences.features[:1]

    def initial(number: Int[Array, ""]) -> Params:
        key = jax.random.fold_in(_key(seed, "initial"), number)
        return head.init(key, one, method="classify")["params"]

    return jax.jit(jax.vmap(initial))(jnp.arange(rounds))


def num_updates(count: int, *, epochs: int, batch_size: int) -> int:
    """How many updates `rounds_phase` makes on `count` sequences."""
    return epochs * (count // batch_size)


def rounds_phase(
    name: str,
    head: VideoClassifier,
    sequences: Sequences,
    *,
    rounds: int,
    epochs: int,
    batch_size: int,
    sub_batches: int = 1,
    learning_rate: float,
    optimizer: str = "rmsprop",
    schedule: str = "constant",
) -> Phase:
    """Learns from the cross-entropy, over the sequences in an order of each round's own in every epoch.

    Args:
      name: of the phase.
      head: see `initial_rounds`.
      sequences: the training data, the same in all rounds.
      rounds: how many, the length of the parameters' first axis.
      epochs: how often each round sees every sequence.
      batch_size: a divisor of the number of sequences.
      sub_batches: see `Phase`.
      learning_rate: the highest.
      optimizer: one of `ELEMENTWISE`; the paper's is the default.
      schedule: see `update_rule`.
    """
    count = len(sequences.labels)
    steps = num_updates(count, epochs=epochs, batch_size=batch_size)

    def batch(seed: int, step: int, rows: Rows) -> RoundsBatch:
        return RoundsBatch(sequences, _order(count, batch_size, rounds, seed, step)[rows])

    def loss(params, model_state, batch, key, weights: Weights = None):
        del key
        score = jax.vmap(partial(_score, partial(_logits_of_own, head)), in_axes=(0, None, 1, None))
        scores = score(params, batch.sequences, batch.order, weights)
        metrics = {"mean_loss": scores.loss.mean(), "accuracy": scores.accuracy.mean()}
        return scores.loss.sum(), (model_state, metrics)

    rule = update_rule(optimizer, schedule, learning_rate=learning_rate, steps=steps)
    return Phase(
        name,
        steps=steps,
        batch=batch,
        loss=loss,
        optimizers={"lstm": rule, "fc": rule},
        batch_axes=RoundsBatch(sequences=None, order=0),
        shown="mean_loss",
        batch_size=batch_size,
        sub_batches=sub_batches,
        weighted=True,
    )


def score_rounds(head: VideoClassifier, params: Params, sequences: Sequences) -> Scores:
    """Every round's loss and accuracy on all sequences; devices share the rounds."""
    rounds = len(jax.tree.leaves(params)[0])
    parts = on_all_devices(
        partial(_scores, head),
        sequences,
        lambda rows: jax.tree.map(lambda leaf: leaf[rows], params),
        count=rounds,
        batch_size=rounds,
    )
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


@partial(jax.jit, static_argnums=0)
def _scores(head: VideoClassifier, sequences: Sequences, params: Params) -> Scores:
    everything = jnp.arange(len(sequences.labels))
    score = jax.vmap(partial(_score, partial(_logits, head)), in_axes=(0, None, None, None))
    return score(params, sequences, everything, None)


def _score(
    logits: Callable[[Params, Features, Order], Logits],
    params: Params,
    sequences: Sequences,
    order: Order,
    weights: Weights,
) -> Scores:
    """One round's loss and accuracy on some of the sequences."""
    labels = sequences.labels[order]
    return Scores(*cross_entropy(logits(params, sequences.features, order), labels, weights))


def _logits_of_own(head: VideoClassifier, params: Params, features: Features, order: Order) -> Logits:
    """Where every round has sequences of its own. The features, of a frozen CNN, get no gradient."""
    features = lax.stop_gradient(features)
    return lax.platform_dependent(
        params, features, order, cpu=partial(_logits_on_cpu, head), default=partial(_logits, head)
    )


def _logits(head: VideoClassifier, params: Params, features: Features, order: Order) -> Logits:
    # All sequences are projected, also those that are not looked at: under vmap over rounds that is one large
    # product. To gather features, 500 a frame and not 32, would make a copy of them for every round.
    projected = head.apply({"params": params}, features, method="project")
    return head.apply({"params": params}, projected[order], method="classify_projected")


def _logits_on_cpu(head: VideoClassifier, params: Params, features: Features, order: Order) -> Logits:
    from_input, recurrent = params["lstm"]["input"], params["lstm"]["recurrent"]
    features, kernel, bias, recurrent_kernel = promote_dtype(
        features, from_input["kernel"], from_input["bias"], recurrent["kernel"], dtype=head.dtype
    )
    hidden = recur(head.gate_activation, project_chosen(features, order, kernel, bias), recurrent_kernel)
    return head.apply({"params": params}, hidden, method="classify_hidden")


@partial(jax.jit, static_argnums=(0, 1, 2))
def _order(
    count: int, batch_size: int, rounds: int, seed: int | Int[Array, ""], step: int | Int[Array, ""]
) -> Int[Array, "b rounds"]:
    """Which sequences each round sees in a step: a part of its permutation for the epoch."""
    epoch, part = jnp.divmod(step, count // batch_size)
    key = jax.random.fold_in(_key(seed, "order"), epoch)
    permute = jax.vmap(lambda number: jax.random.permutation(jax.random.fold_in(key, number), count))
    return lax.dynamic_slice_in_dim(permute(jnp.arange(rounds)), part * batch_size, batch_size, 1).T


def _key(seed: int | Int[Array, ""], purpose: Literal["initial", "order"]) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(seed), ("initial", "order").index(purpose))
