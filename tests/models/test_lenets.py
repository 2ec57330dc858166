"""The four CNNs of paper A: their parameters, sizes and features; LeNet against torch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal, random_variables

from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.stn_lenet import STNLeNet

KEY = jax.random.key(0)
EACH_MODEL = pytest.mark.parametrize("model_class", [LeNet, STNLeNet, DCNLeNet, DeformLeNet])


@pytest.mark.parametrize(
    ("model_class", "parameters"),
    [(LeNet, 6_431_080), (STNLeNet, 25_741_976), (DCNLeNet, 102_483_280), (DeformLeNet, 102_456_130)],
)
def test_number_of_parameters_in_the_paper(model_class, parameters):
    variables = jax.eval_shape(model_class().init, KEY, jnp.zeros((1, 64, 64, 1)))
    assert set(variables) == {"params"}
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == parameters


@pytest.mark.parametrize(
    ("model_class", "layers"),
    [
        (LeNet, {"conv1", "conv2", "fc1", "fc2"}),
        (STNLeNet, {"stn", "conv1", "conv2", "fc1", "fc2"}),
        (DCNLeNet, {"conv1", "offset1", "conv2", "offset2", "fc1", "fc2"}),
        (DeformLeNet, {"conv1", "conv2", "fc1", "fc2"}),
    ],
)
def test_layers_are_named_as_in_the_figure(model_class, layers):
    variables = jax.eval_shape(model_class().init, KEY, jnp.zeros((1, 64, 64, 1)))
    assert set(variables["params"]) == layers


@EACH_MODEL
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_shapes_and_dtypes_on_other_frames(x64, model_class, dtype):
    images = jax.ShapeDtypeStruct((3, 33, 36, 2), dtype)
    model = model_class(num_classes=7)
    variables = jax.eval_shape(model.init, KEY, jnp.zeros((1, 33, 36, 2), "float32"))
    variables = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), variables)
    logits = jax.eval_shape(model.apply, variables, images)
    features = jax.eval_shape(partial(model.apply, method="features"), variables, images)
    assert (logits.shape, features.shape) == ((3, 7), (3, 500))
    assert logits.dtype == features.dtype == jnp.dtype(dtype)


@EACH_MODEL
def test_logits_are_a_linear_layer_on_the_features(model_class):
    images = normal(0, 2, 28, 30, 1)
    model = model_class()
    variables = random_variables(model, images, scale=0.02)
    features = np.asarray(jax.jit(partial(model.apply, method="features"))(variables, images))
    fc2 = variables["params"]["fc2"]
    expected = features @ np.asarray(fc2["kernel"]) + np.asarray(fc2["bias"])
    np.testing.assert_allclose(jax.jit(model.apply)(variables, images), expected, rtol=1e-4, atol=1e-5)
    assert np.all(features >= 0)
    assert np.any(features > 0)


@EACH_MODEL
def test_starts_as_in_keras(model_class):
    key = jax.random.key(0, impl="rbg")  # compiles faster
    params = jax.jit(model_class().init)(key, jnp.zeros((1, 28, 30, 1)))["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [part.key for part in path]
        if "theta" in names or "offset" in names:
            continue  # start where nothing is moved: see the layers' own tests
        if names[-1] == "kernel":
            *window, inputs, outputs = leaf.shape
            limit = (1 + 1e-6) * np.sqrt(6 / (np.prod(window) * (inputs + outputs)))
            assert 0.97 * limit < float(jnp.abs(leaf).max()) <= limit
        else:
            assert np.all(np.asarray(leaf) == 0)


def test_lenet_equals_torch(x64):
    torch = pytest.importorskip("torch")
    images = normal(0, 3, 12, 9, 1, dtype="float64")
    model = LeNet()
    variables = jax.tree.map(
        lambda leaf: leaf.astype("float64"), random_variables(model, images.astype("float32"))
    )

    def tensor(array):
        return torch.tensor(np.asarray(array))

    class TorchLeNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = torch.nn.Conv2d(1, 20, 5, padding="same")
            self.conv2 = torch.nn.Conv2d(20, 50, 5, padding="same")
            self.fc1 = torch.nn.Linear(3 * 2 * 50, 500)
            self.fc2 = torch.nn.Linear(500, 10)

        def forward(self, x):
            x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
            x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
            x = x.permute(0, 2, 3, 1).flatten(1)  # the channels last, as they are here
            return self.fc2(torch.relu(self.fc1(x)))

    theirs = TorchLeNet().double()
    with torch.no_grad():
        for name, layer in theirs.named_children():
            kernel = np.asarray(variables["params"][name]["kernel"])
            layer.weight.copy_(tensor(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T))
            layer.bias.copy_(tensor(variables["params"][name]["bias"]))
    expected = theirs(tensor(images).permute(0, 3, 1, 2))
    grad_output = normal(1, 3, 10, dtype="float64")
    expected.backward(tensor(grad_output))

    output, vjp = jax.vjp(jax.jit(model.apply), variables, images)
    np.testing.assert_allclose(output, expected.detach(), rtol=1e-10, atol=1e-10)
    grads = vjp(grad_output)[0]["params"]
    for name, layer in theirs.named_children():
        grad = layer.weight.grad.numpy()
        grad = grad.transpose(2, 3, 1, 0) if grad.ndim == 4 else grad.T
        np.testing.assert_allclose(grads[name]["kernel"], grad, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(grads[name]["bias"], layer.bias.grad, rtol=1e-9, atol=1e-9)


def test_stn_shows_what_it_looks_at():
    images = normal(0, 2, 28, 30, 1)
    model = STNLeNet(output_hw=(14, 15))
    variables = random_variables(model, images, scale=0.05)
    variables["params"]["stn"]["theta"] = {
        "kernel": jnp.zeros((50, 6)),
        "bias": jnp.array([0.5, 0, 0, 0, 0.5, 0]),
    }
    region, theta = jax.jit(partial(model.apply, method="transform"))(variables, images)
    np.testing.assert_allclose(theta, np.tile([[0.5, 0, 0], [0, 0.5, 0]], (2, 1, 1)))
    # Half the size around the centre, on a grid of 14 x 15 in 28 x 30: pixels 7 ... 20, 7.5 ... 21.5.
    between = (images[:, 7:21, 7:22] + images[:, 7:21, 8:23]) / 2
    np.testing.assert_allclose(region, between, rtol=1e-4, atol=1e-5)


def test_frames_too_small_for_the_localizer_are_named():
    with pytest.raises(ValueError, match=r"images must be at least 28 x 28 pixels .* got shape"):
        jax.eval_shape(STNLeNet().init, KEY, jnp.zeros((1, 27, 40, 1)))
