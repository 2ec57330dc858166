"""PyTorch's networks are this package's: the same loss and gradients in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from variables import normal, random_variables

from geoattn_jax.experiments.digits.cnns import make_cnn
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.video_classifier import VideoClassifier

torch = pytest.importorskip("torch")
from geoattn_jax.bench import torch_networks  # noqa: E402

LABELS = np.array([1, 4, 2])


def loss_and_gradients(apply, params, inputs):
    def loss(params):
        logits = apply({"params": params}, inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(LABELS)).mean()

    value, gradients = jax.jit(jax.value_and_grad(loss))(params)
    return float(value), traverse_util.flatten_dict(gradients, sep="/")


def loss_and_gradients_in_torch(model, params, inputs):
    model.double()
    torch_networks.load(model, params)
    loss = torch.nn.functional.cross_entropy(model(inputs), torch.from_numpy(LABELS))
    loss.backward()
    gradients = {
        path: layout.gradient(parameter.grad.numpy())
        for path, parameter, layout in torch_networks.parameters(model)
    }
    return loss.item(), gradients


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    assert ours[1].keys() == theirs[1].keys()
    for path, gradient in ours[1].items():
        largest = float(jnp.abs(gradient).max())
        assert largest > 0, path
        np.testing.assert_allclose(gradient, theirs[1][path], rtol=1e-7, atol=1e-9 * largest, err_msg=path)


def random_params(module, inputs, **options):
    variables = random_variables(module, inputs.astype("float32"), scale=0.1, **options)
    return jax.tree.map(lambda leaf: leaf.astype("float64"), variables["params"])


@pytest.mark.parametrize("name", torch_networks.CNNS)
def test_cnns(x64, name):
    images = normal(0, 3, 32, 32, 1, dtype="float64")
    cnn = make_cnn(name, frame_size=32)
    params = random_params(cnn, images)
    ours = loss_and_gradients(cnn.apply, params, images)
    channels_first = torch.from_numpy(np.array(images).transpose(0, 3, 1, 2))
    assert_equal(ours, loss_and_gradients_in_torch(torch_networks.CNNS[name](32), params, channels_first))


def test_video_head(x64):
    features = normal(0, 3, 5, 7, dtype="float64")
    head = VideoClassifier(LeNet(), num_classes=6, lstm_units=2)
    params = random_params(head, features, method="classify")
    ours = loss_and_gradients(partial(head.apply, method="classify"), params, features)
    model = torch_networks.VideoHead(features=7, units=2, frames=5, classes=6)
    assert_equal(ours, loss_and_gradients_in_torch(model, params, torch.from_numpy(np.array(features))))
