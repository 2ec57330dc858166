"""The models that see whole videos: two stages or one, an LSTM or the mean over time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal, random_variables

from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.models.frame_cnn import FrameCNN, mean_log_probabilities
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.video_classifier import VideoClassifier

KEY = jax.random.key(0)


def size(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def at_the_start(model, *inputs, **options):
    """Random parameters, but those of batch normalization as they start."""
    variables = random_variables(model, *inputs, scale=0.1, **options)

    def restart(path, leaf):
        module, name = path[-2].key, path[-1].key
        if not module.startswith("norm"):
            return leaf
        return jnp.ones_like(leaf) if name in ("var", "scale") else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(restart, variables)


def test_second_stage_needs_no_cnn():
    features = jnp.zeros((1, 50, 500))
    variables = jax.eval_shape(
        lambda key: VideoClassifier(LeNet()).init(key, features, method="classify"), KEY
    )
    assert set(variables["params"]) == {"lstm", "fc"}
    assert size(variables["params"]["lstm"]) == 4 * 8 * (500 + 8 + 1)
    assert size(variables["params"]["fc"]) == 50 * 8 * 100 + 100


def test_two_stages_make_one_model():
    video = normal(0, 2, 3, 8, 9, 1)
    cnn = LeNet()
    model = VideoClassifier(cnn, num_classes=7, lstm_units=4)
    cnn_params = random_variables(cnn, video[:, 0], scale=0.1)["params"]
    extract = jax.jit(partial(cnn.apply, method="features"))
    features = jnp.stack([extract({"params": cnn_params}, video[:, t]) for t in range(3)], axis=1)
    head = random_variables(model, features, method="classify")
    two_stages = jax.jit(partial(model.apply, method="classify"))(head, features)
    one_model = {"params": {"cnn": cnn_params, **head["params"]}}
    assert two_stages.shape == (2, 7)
    np.testing.assert_allclose(jax.jit(model.apply)(one_model, video), two_stages, rtol=1e-4, atol=1e-5)
    initialized = jax.eval_shape(model.init, KEY, video)["params"]
    assert set(initialized) == {"cnn", "lstm", "fc"}
    assert set(initialized["cnn"]) == {"conv1", "conv2", "fc1"}  # the CNN's own classes have no use here


def test_all_rounds_train_at_once():
    features = normal(0, 4, 5, 6)
    model = VideoClassifier(LeNet(), num_classes=3)
    rounds = [random_variables(model, features, seed=10 * n, method="classify") for n in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rounds)

    classify = partial(model.apply, method="classify")
    many = jax.jit(jax.vmap(classify, in_axes=(0, None)))(stacked, features)
    classify = jax.jit(classify)
    for logits, variables in zip(many, rounds, strict=True):
        np.testing.assert_allclose(logits, classify(variables, features), rtol=1e-4, atol=1e-5)


def test_frame_cnn_sizes():
    images = jnp.zeros((3, 33, 36, 1))
    model = FrameCNN(num_classes=55)
    variables = jax.eval_shape(lambda key: model.init(key, images, train=False), KEY)
    convolutions = 25 * 16 + 9 * (16 * 32 + 32 * 64 + 64 * 96 + 96 * 128)
    normalization = 2 * (16 + 32 + 64 + 96 + 128)
    assert size(variables["params"]) == convolutions + normalization + 129 * 256 + 257 * 55
    assert size(variables["batch_stats"]) == normalization
    logits = jax.eval_shape(lambda one: model.apply(one, images, train=False), variables)
    assert logits.shape == (3, 55)


def test_frame_cnn_logits_are_a_linear_layer_on_the_features():
    images = normal(0, 2, 9, 14, 1)
    model = FrameCNN(num_classes=5)
    variables = at_the_start(model, images, train=False)
    features = jax.jit(partial(model.apply, train=False, method="features"))(variables, images)
    fc2 = variables["params"]["fc2"]
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_allclose(logits, features @ fc2["kernel"] + fc2["bias"], rtol=1e-4, atol=1e-5)


def test_frame_cnn_sees_the_same_wherever_it_is():
    images = jnp.zeros((2, 96, 104, 1)).at[:, 40:48, 40:50].set(normal(0, 2, 8, 10, 1))
    model = FrameCNN(num_classes=5)
    variables = at_the_start(model, images, train=False)
    evaluate = jax.jit(partial(model.apply, train=False))
    logits = evaluate(variables, images)
    moved = evaluate(variables, jnp.roll(images, (8, -8), axis=(1, 2)))
    np.testing.assert_allclose(moved, logits, rtol=1e-4, atol=1e-5)


def test_frame_cnn_keeps_statistics_of_its_training():
    images = normal(0, 6, 9, 14, 1)
    model = FrameCNN(num_classes=5)
    variables = at_the_start(model, images, train=False)
    train = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    evaluate = jax.jit(partial(model.apply, train=False))
    logits, updated = train(variables, images)
    changed = jax.tree.map(lambda a, b: np.all(a != b), variables["batch_stats"], updated["batch_stats"])
    assert all(jax.tree.leaves(changed))
    # In training a frame's logits depend on the rest of the batch, in evaluation they do not.
    fewer, _ = train(variables, images[:3])
    assert float(jnp.abs(logits[:3] - fewer).max()) > 1e-3
    evaluated = evaluate(variables, images)
    np.testing.assert_allclose(evaluate(variables, images[:3]), evaluated[:3], rtol=1e-4, atol=1e-5)


def test_mean_over_time_of_log_probabilities():
    logits = np.asarray(normal(0, 3, 4, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = np.log(probabilities).mean(axis=1)
    np.testing.assert_allclose(mean_log_probabilities(jnp.asarray(logits)), expected, rtol=1e-5)
    # It is the frames' geometric mean: a constant added to a frame's logits changes nothing.
    shifted = logits + np.array([100, -3, 0, 7], "float32")[None, :, None]
    np.testing.assert_allclose(mean_log_probabilities(jnp.asarray(shifted)), expected, rtol=1e-4)


def test_cnn_lstm_sees_the_past_and_single_frames():
    video = normal(0, 2, 4, 9, 14, 1)
    model = CNNLSTM(num_classes=5, lstm_units=3)
    variables = at_the_start(model, video, train=False)
    evaluate = jax.jit(partial(model.apply, train=False))
    steps, frames = evaluate(variables, video)
    assert steps.shape == frames.shape == (2, 4, 5)
    cnn = {name: variables[name]["cnn"] for name in ("params", "batch_stats")}
    evaluate_frames = jax.jit(partial(FrameCNN(num_classes=5).apply, train=False))
    for t in range(4):
        alone = evaluate_frames(cnn, video[:, t])
        np.testing.assert_allclose(frames[:, t], alone, rtol=1e-4, atol=1e-5)
    changed, _ = evaluate(variables, video.at[:, 2:].multiply(-1))
    np.testing.assert_allclose(changed[:, :2], steps[:, :2], rtol=1e-4, atol=1e-5)
    assert np.all(np.abs(changed[:, 2:] - steps[:, 2:]) > 0)


@pytest.mark.parametrize("train", [False, True])
def test_cnn_lstm_under_jit_in_both_modes(train):
    video = normal(0, 2, 4, 9, 14, 1)
    model = CNNLSTM(num_classes=5)
    variables = at_the_start(model, video, train=False)
    shapes = jax.eval_shape(
        lambda variables: model.apply(variables, video, train=train, mutable=["batch_stats"]), variables
    )
    (steps, frames), updated = shapes
    assert steps.shape == frames.shape == (2, 4, 5)
    assert jax.tree.structure(updated) == jax.tree.structure({"batch_stats": variables["batch_stats"]})
