"""The VGG networks: their sizes, dropout and start; each against the same network in torch."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from narrow_vgg import NarrowVGG16, NarrowVGGF, NarrowVGGM
from variables import normal, random_variables

from geoattn_jax import SpatialTransformer
from geoattn_jax.models.vgg import VGG16, VGGF, VGGM

KEY = jax.random.key(0)
PAPER = jnp.zeros((1, 224, 224, 3))
CONVS = [f"conv{n}" for n in range(1, 6)]
VGG16_CONVS = [
    f"conv{block}_{n + 1}" for block, size in enumerate((2, 2, 3, 3, 3), start=1) for n in range(size)
]
EACH_NETWORK = pytest.mark.parametrize("model_class", [VGGF, VGGM, VGG16])
EACH_NARROW = pytest.mark.parametrize("model_class", [NarrowVGGF, NarrowVGGM, NarrowVGG16])


def shapes_of(model, images=PAPER):
    return jax.eval_shape(partial(model.init, train=False), KEY, images)


@pytest.mark.parametrize(
    ("model_class", "parameters"), [(VGGF, 60_834_536), (VGGM, 102_908_520), (VGG16, 138_357_544)]
)
def test_number_of_parameters(model_class, parameters):
    variables = shapes_of(model_class())
    assert set(variables) == {"params"}
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == parameters


@pytest.mark.parametrize(
    ("model_class", "convs", "fc6_inputs"),
    [(VGGF, CONVS, 6 * 6 * 256), (VGGM, CONVS, 6 * 6 * 512), (VGG16, VGG16_CONVS, 7 * 7 * 512)],
)
def test_layers_are_named_as_in_the_files(model_class, convs, fc6_inputs):
    params = shapes_of(model_class())["params"]
    assert list(params) == [*convs, "fc6", "fc7", "fc8"]
    assert params["fc6"]["kernel"].shape == (fc6_inputs, 4096)


@EACH_NETWORK
def test_sizes_with_other_classes_channels_and_images(model_class):
    images = jax.ShapeDtypeStruct((3, 97, 120, 20), "float32")
    model = model_class(num_classes=7)
    variables = shapes_of(model, images)
    logits = jax.eval_shape(partial(model.apply, train=False), variables, images)
    features = jax.eval_shape(partial(model.apply, method="features"), variables, images)
    assert (logits.shape, features.shape) == ((3, 7), (3, 4096))
    assert variables["params"]["fc8"]["kernel"].shape == (4096, 7)
    assert next(iter(variables["params"].values()))["kernel"].shape[2] == 20


def torch_network(torch, model_class, params):
    """The network as a user of torch writes it from the papers, with the weights that are given."""
    layers = []

    def tensor(array):
        return torch.tensor(np.asarray(array))

    def conv(name, **options):
        kernel = tensor(params[name]["kernel"].transpose(3, 2, 0, 1))
        layer = torch.nn.Conv2d(*kernel.shape[1::-1], kernel.shape[2:], **options).double()
        layer.weight.data, layer.bias.data = kernel, tensor(params[name]["bias"])
        layers.extend([layer, torch.nn.ReLU()])

    def dense(name):
        kernel = tensor(params[name]["kernel"].T)
        layer = torch.nn.Linear(*kernel.shape[::-1]).double()
        layer.weight.data, layer.bias.data = kernel, tensor(params[name]["bias"])
        layers.append(layer)

    class ChannelsLast(torch.nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    norm = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    pool = torch.nn.MaxPool2d(3, 2)
    rounding_up = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    if model_class is NarrowVGGF:
        conv("conv1", stride=4)
        layers.extend([norm, rounding_up])
        conv("conv2", padding=2)
        layers.extend([norm, pool])
    elif model_class is NarrowVGGM:
        conv("conv1", stride=2)
        layers.extend([norm, pool])
        conv("conv2", stride=2, padding=1)
        layers.extend([norm, rounding_up])
    if model_class is NarrowVGG16:
        for name in VGG16_CONVS:
            conv(name, padding=1)
            if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
                layers.append(torch.nn.MaxPool2d(2))
    else:
        for name in ("conv3", "conv4", "conv5"):
            conv(name, padding=1)
        layers.append(pool)
    layers.append(ChannelsLast())
    dense("fc6")
    layers.append(torch.nn.ReLU())
    dense("fc7")
    layers.append(torch.nn.ReLU())
    dense("fc8")
    return torch.nn.Sequential(*layers)


@EACH_NARROW
def test_equals_torch_with_its_gradient(x64, model_class):
    torch = pytest.importorskip("torch")
    images = 100 * normal(0, 2, 79, 102, 3, dtype="float64")  # large enough for the normalization to matter
    model = model_class(num_classes=7)
    variables = jax.tree.map(
        lambda leaf: leaf.astype("float64"),
        random_variables(model, images.astype("float32"), scale=0.1, train=False),
    )
    theirs = torch_network(torch, model_class, variables["params"])
    their_images = torch.tensor(np.asarray(images)).permute(0, 3, 1, 2).requires_grad_()
    expected = theirs(their_images)
    grad_output = normal(1, 2, 7, dtype="float64")
    expected.backward(torch.tensor(np.asarray(grad_output)))

    @jax.jit
    def ours(variables, images):
        logits, vjp = jax.vjp(partial(model.apply, train=False), variables, images)
        return logits, vjp(grad_output)

    logits, (grads, grad_images) = ours(variables, images)
    assert_close(logits, expected.detach())
    assert_close(grad_images, their_images.grad.permute(0, 2, 3, 1))
    weights = [layer for layer in theirs if hasattr(layer, "weight")]
    for grad, layer in zip(grads["params"].values(), weights, strict=True):
        kernel = layer.weight.grad.permute(2, 3, 1, 0) if layer.weight.ndim == 4 else layer.weight.grad.T
        assert_close(grad["kernel"], kernel)
        assert_close(grad["bias"], layer.bias.grad)


def assert_close(ours, theirs):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10 * np.abs(theirs).max())


def test_features_are_what_the_last_layers_see():
    images = normal(0, 2, 64, 70, 3)
    model = NarrowVGGF(num_classes=7)
    variables = random_variables(model, images, scale=0.1, train=False)
    features = jax.jit(partial(model.apply, method="features"))(variables, images)
    assert np.all(features >= 0)
    assert np.any(features > 0)
    fc7, fc8 = (variables["params"][name] for name in ("fc7", "fc8"))
    hidden = jnp.maximum(features @ fc7["kernel"] + fc7["bias"], 0)
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_allclose(logits, hidden @ fc8["kernel"] + fc8["bias"], rtol=1e-4, atol=1e-5)
    headless = NarrowVGGF(num_classes=None)
    params = {name: layer for name, layer in variables["params"].items() if name != "fc8"}
    assert set(shapes_of(headless, images)["params"]) == set(params)
    outputs = jax.jit(partial(headless.apply, train=False))({"params": params}, images)
    np.testing.assert_allclose(outputs, hidden, rtol=1e-4, atol=1e-5)


@EACH_NETWORK
def test_the_smallest_images(model_class):
    side = model_class.smallest_side
    fc6 = shapes_of(model_class(), jnp.zeros((1, side, side, 3)))["params"]["fc6"]["kernel"]
    assert fc6.shape[0] == model_class.convs[-1].features
    with pytest.raises(ValueError, match=rf"images must be at least {side} x {side} pixels, got shape \(1, "):
        shapes_of(model_class(), jnp.zeros((1, side + 9, side - 1, 3)))

    class Unguarded(model_class):
        smallest_side = 1

    too_small = jnp.zeros((1, side + 9, side - 1, 3))
    unguarded = partial(Unguarded().init_with_output, method="feature_map")
    with pytest.raises(ValueError, match=r"max_pool: image must be at least"):  # nothing is left for fc6
        jax.eval_shape(unguarded, KEY, too_small)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (jnp.zeros((70, 72, 3)), r"axes \(b, h, w, c\), got shape \(70, 72, 3\)"),
        (jnp.zeros((1, 70, 72, 3), jnp.uint8), "floating point, got uint8"),
    ],
)
def test_wrong_images_are_named(unchecked, images, said):
    with pytest.raises(ValueError, match=f"VGGF: images must .*{said}"):
        shapes_of(VGGF(), images)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"dropout_rate": 85.0}, "dropout_rate must be at least 0 and below 1, got 85.0"),
        ({"num_classes": 0}, "num_classes must be positive, or None to leave fc8 out, got 0"),
    ],
)
def test_wrong_attributes_are_named(attributes, said):
    with pytest.raises(ValueError, match=f"VGG16: {said}"):
        shapes_of(VGG16(**attributes))


class WideVGGF(NarrowVGGF):
    units = 400


def test_dropout_in_training_only():
    images = normal(0, 5, 63, 70, 3)
    model = WideVGGF(num_classes=None, dropout_rate=0.8)
    params = dict(random_variables(model, images, train=False)["params"])
    # fc6 gives ones, and fc7 passes them on.
    params["fc6"] = {"kernel": jnp.zeros_like(params["fc6"]["kernel"]), "bias": jnp.ones(400)}
    params["fc7"] = {"kernel": jnp.eye(400), "bias": jnp.zeros(400)}

    @jax.jit
    def train(key):
        return model.apply({"params": params}, images, train=True, rngs={"dropout": key})

    outputs = train(jax.random.key(0))
    np.testing.assert_allclose(np.unique(outputs), [0, 25], rtol=1e-5)  # kept twice, each time times 5
    assert np.mean(outputs > 0) == pytest.approx(0.2**2, rel=0.3)  # fc6 and fc7 drop independently
    assert not np.array_equal(outputs, train(jax.random.key(1)))
    np.testing.assert_array_equal(outputs, train(jax.random.key(0)))
    evaluated = jax.jit(partial(model.apply, train=False))({"params": params}, images)
    np.testing.assert_array_equal(evaluated, np.ones((5, 400)))
    features = jax.jit(partial(model.apply, method="features"))({"params": params}, images)
    np.testing.assert_array_equal(features, np.ones((5, 400)))


def test_bfloat16():
    images = normal(0, 2, 64, 70, 3)
    model = NarrowVGGF(num_classes=7, dtype=jnp.bfloat16)
    exact = NarrowVGGF(num_classes=7)
    variables = random_variables(model, images, scale=0.1, train=False)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    def outputs(model):
        def loss_of(variables):
            logits = model.apply(variables, images, train=False)
            return jnp.mean(jnp.square(logits.astype(jnp.float32))), logits

        (_, logits), grads = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(variables)
        return logits, grads["params"]["fc6"]["kernel"]

    (logits, grad), (exact_logits, exact_grad) = outputs(model), outputs(exact)
    assert (logits.dtype, grad.dtype) == (jnp.bfloat16, jnp.float32)
    scale = float(jnp.abs(exact_logits).max())
    np.testing.assert_allclose(logits.astype(jnp.float32), exact_logits, atol=0.03 * scale)
    assert float(jnp.linalg.norm(grad - exact_grad) / jnp.linalg.norm(exact_grad)) < 0.1


@EACH_NETWORK
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtypes(x64, model_class, dtype):
    model = model_class(num_classes=7, param_dtype=dtype)
    images = jax.ShapeDtypeStruct((2, 63, 70, 3), dtype)
    variables = shapes_of(model, images)
    logits = jax.eval_shape(partial(model.apply, train=False), variables, images)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, logits))} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("model_class", [NarrowVGGF, NarrowVGG16])
def test_a_fresh_network_passes_signals_on(model_class):
    images = normal(0, 4, 64, 70, 3)
    model = model_class(num_classes=7)
    key = jax.random.key(3, impl="rbg")  # compiles faster
    features, _ = jax.jit(partial(model.init_with_output, method="features"))(key, images)
    assert 0.1 < float(features.std()) < 10


def test_fc8_starts_as_told():
    images = normal(0, 2, 64, 70, 3)
    start = jnp.array([0.25, 0, 0, 0, 0.25, 0])
    model = NarrowVGGF(
        num_classes=6,
        fc8_kernel_init=nn.initializers.zeros,
        fc8_bias_init=lambda key, shape, dtype: start.astype(dtype),
    )
    fc8 = jax.jit(lambda key: model.init(key, images, train=False)["params"]["fc8"])(KEY)
    np.testing.assert_array_equal(fc8["kernel"], np.zeros((40, 6)))
    np.testing.assert_array_equal(fc8["bias"], start)


@pytest.mark.parametrize(
    ("model_class", "parameters"), [(VGGF, 56_762_118), (VGGM, 98_836_102), (VGG16, 134_285_126)]
)
def test_without_fc8_it_is_a_localizer(model_class, parameters):
    transformer = SpatialTransformer(model_class(num_classes=None), output_hw=(9, 8))
    (regions, theta), variables = jax.eval_shape(
        partial(transformer.init_with_output, train=False), KEY, PAPER
    )
    assert (regions.shape, theta.shape) == ((1, 9, 8, 3), (1, 2, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == parameters  # theta in place of fc8
