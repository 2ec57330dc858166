"""Rounds in one program are the same as trainings one after another."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.experiments.digits.lstm_rounds import (
    RoundsBatch,
    Sequences,
    initial_rounds,
    rounds_phase,
    score_rounds,
)
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.video_classifier import VideoClassifier
from geoattn_jax.training import train

ROUNDS, VIDEOS, BATCH, FRAMES, FEATURES, CLASSES, EPOCHS = 3, 12, 4, 5, 7, 6, 4
SEED = 5
HEAD = VideoClassifier(LeNet(), num_classes=CLASSES, lstm_units=2)


def sequences(seed, count=VIDEOS):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, FRAMES, FEATURES))
    return Sequences(jnp.asarray(features), jnp.asarray(rng.integers(CLASSES, size=count)))


def phase(train_sequences, head=HEAD, **changes):
    settings = {"rounds": ROUNDS, "epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 1e-2} | changes
    return rounds_phase("rounds", head, train_sequences, **settings)


def initial(train_sequences, rounds=ROUNDS):
    features = train_sequences.features
    shapes = train_sequences._replace(features=features.astype(jnp.float32))
    params = initial_rounds(HEAD, shapes, seed=SEED, rounds=rounds)
    return jax.tree.map(lambda leaf: leaf.astype(features.dtype), params)


def one_round(tree, number):
    return jax.tree.map(lambda leaf: leaf[number], tree)


def cross_entropy(params, features, labels, head=HEAD):
    logits = head.apply({"params": params}, features, method="classify")
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels])


def trained_alone(params, orders, data, head):
    """One round by itself, with RMSProp's formula written out: epsilon outside the root, no correction."""
    squares = jax.tree.map(jnp.zeros_like, params)
    gradient_of = jax.jit(jax.grad(partial(cross_entropy, head=head)))
    for order in orders:
        gradient = gradient_of(params, data.features[order], data.labels[order])
        squares = jax.tree.map(lambda s, g: 0.9 * s + 0.1 * g**2, squares, gradient)
        params = jax.tree.map(lambda p, s, g: p - 1e-2 * g / (jnp.sqrt(s) + 1e-8), params, squares, gradient)
    return params


# Three devices fill the batch of four up to six.
@pytest.mark.parametrize(("devices", "gates"), [(1, "sigmoid"), (3, "sigmoid"), (1, "hard_sigmoid")])
def test_every_round_trains_as_if_it_were_alone(x64, devices, gates):
    data, head = sequences(0), HEAD.clone(gate_activation=gates)
    rounds, start = phase(data, head), initial(data)
    trained = train([rounds], start, {}, seed=SEED, devices=jax.devices()[:devices]).params
    orders = np.stack([rounds.whole_batch(SEED, step).order for step in range(rounds.steps)])
    for number in range(ROUNDS):
        expected = trained_alone(one_round(start, number), orders[:, :, number], data, head)
        actual = one_round(trained, number)
        assert jax.tree.structure(actual) == jax.tree.structure(expected)
        for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_every_epoch_shows_each_round_every_sequence_in_an_order_of_its_own():
    rounds = phase(sequences(0))
    assert rounds.steps == EPOCHS * VIDEOS // BATCH
    orders = np.stack([rounds.whole_batch(SEED, step).order for step in range(rounds.steps)])
    epochs = orders.reshape(EPOCHS, VIDEOS, ROUNDS)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.arange(VIDEOS)[:, None] + np.zeros_like(epochs))
    distinct = {tuple(order) for order in np.moveaxis(epochs, 1, 2).reshape(-1, VIDEOS)}
    assert len(distinct) == EPOCHS * ROUNDS


def test_sub_batches_make_the_big_batchs_steps(x64):
    data = sequences(0)
    whole, parts = phase(data), phase(data, sub_batches=2)
    for step in range(whole.steps):
        halves = [parts.batch(SEED, step, half).order for half in (np.arange(2), np.arange(2, 4))]
        np.testing.assert_array_equal(np.concatenate(halves), whole.whole_batch(SEED, step).order)
    start = initial(data)
    one, other = (
        train([rounds], start, {}, seed=SEED, devices=jax.devices()[:1]) for rounds in (whole, parts)
    )
    assert one.step == other.step == whole.steps
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10), other.params, one.params)


def test_a_round_does_not_depend_on_how_many_there_are():
    data = sequences(0)
    few, many = initial(data), initial(data, rounds=ROUNDS + 2)
    jax.tree.map(lambda one, other: np.testing.assert_array_equal(one, other[:ROUNDS]), few, many)
    one, other = (phase(data, rounds=rounds).whole_batch(SEED, 3).order for rounds in (ROUNDS, ROUNDS + 2))
    np.testing.assert_array_equal(one, other[:, :ROUNDS])
    kernels = np.asarray(few["fc"]["kernel"])
    assert not np.allclose(kernels[0], kernels[1])


def test_scores_are_each_rounds_own(x64):
    data, params = sequences(1, count=9), initial(sequences(0))
    scores = score_rounds(HEAD, params, data)
    for number in range(ROUNDS):
        own = one_round(params, number)
        np.testing.assert_allclose(scores.loss[number], cross_entropy(own, *data), rtol=1e-10)
        logits = HEAD.apply({"params": own}, data.features, method="classify")
        correct = np.mean(np.argmax(logits, -1) == data.labels)
        np.testing.assert_allclose(scores.accuracy[number], correct)
    assert len(set(np.asarray(scores.loss))) == ROUNDS


def everything(data):
    """An update in which every round sees all sequences, as they lie."""
    return RoundsBatch(data, jnp.tile(jnp.arange(len(data.labels))[:, None], ROUNDS))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_the_loss_is_of_the_scores_in_the_dtype_of_the_head(dtype, tolerance):
    """Where training has an arrangement of its own; scores are the model's own methods."""
    head = HEAD.clone(dtype=dtype)
    data = sequences(0)
    params = initial(data)
    rounds = rounds_phase("rounds", head, data, rounds=ROUNDS, epochs=1, batch_size=BATCH, learning_rate=1e-2)
    loss, (_, metrics) = jax.jit(rounds.loss)(params, {}, everything(data), jax.random.key(0))
    scores = score_rounds(head, params, data)
    np.testing.assert_allclose(loss, scores.loss.sum(), rtol=tolerance)
    np.testing.assert_allclose(metrics["mean_loss"], scores.loss.mean(), rtol=tolerance)
    products = jax.make_jaxpr(rounds.loss)(params, {}, everything(data), jax.random.key(0)).pretty_print()
    assert ("bf16" in products) is (dtype == "bfloat16")


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_accelerators_project_all_sequences_in_one_product(platform):
    data, params = sequences(0), initial(sequences(0))
    rounds = phase(data)
    lowered = jax.jit(rounds.loss).trace(params, {}, rounds.whole_batch(SEED, 0), jax.random.key(0))
    lines = lowered.lower(lowering_platforms=(platform,)).as_text().splitlines()
    features = f"tensor<{VIDEOS}x{FRAMES}x{FEATURES}xf32>"
    of_all = [line for line in lines if "dot_general" in line and features in line]
    assert bool(of_all) is (platform != "cpu")
