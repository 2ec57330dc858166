"""Weight files of the VGG networks: what is read, what is refused, and the network that comes out, in torch.

The files have the structure of the published ones, with an eighth of the channels.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
from narrow_vgg import NarrowVGG16, NarrowVGGF, NarrowVGGM
from variables import normal
from weight_files import (
    AVERAGE,
    CLASSES,
    cell,
    matconvnet_layers,
    some_weights,
    torchvision_state,
    write_matconvnet,
)

from geoattn_jax.models.pretrained import Pretrained, flow_params, read_matconvnet, read_torchvision

KEY = jax.random.key(0)
EACH_NETWORK = pytest.mark.parametrize("model_class", [NarrowVGGF, NarrowVGGM, NarrowVGG16])


def assert_equal_params(params, expected):
    assert list(params) == list(expected)
    for name, (filters, biases) in expected.items():
        kernel = filters.reshape(-1, filters.shape[-1]) if name.startswith("fc") else filters
        np.testing.assert_array_equal(params[name]["kernel"], kernel)
        np.testing.assert_array_equal(params[name]["bias"], biases[0])


@EACH_NETWORK
@pytest.mark.parametrize("old", [False, True])
def test_matconvnet_files_are_read(tmp_path, model_class, old):
    path = write_matconvnet(tmp_path / "net.mat", model_class, old=old)
    params, mean, std = read_matconvnet(path, model_class(CLASSES), KEY)
    assert_equal_params(params, some_weights(model_class))
    np.testing.assert_array_equal(mean, AVERAGE / 255)
    np.testing.assert_allclose(std, [1 / 255] * 3)


def save_npz(state, path):
    np.savez(path, **state)


def save_torch(state, path):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.tensor(array) for name, array in state.items()}, path)


def save_torch_as_of_old(state, path):
    """With parameters instead of tensors, and not zipped."""
    torch = pytest.importorskip("torch")
    parameters = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in state.items()}
    torch.save(parameters, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "save"),
    [("vgg16.npz", save_npz), ("vgg16.pth", save_torch), ("vgg16.pth", save_torch_as_of_old)],
)
def test_torchvision_files_are_read(tmp_path, name, save):
    path = tmp_path / name
    save(torchvision_state(), path)
    params, mean, std = read_torchvision(path, NarrowVGG16(CLASSES), KEY)
    assert_equal_params(params, some_weights(NarrowVGG16))
    np.testing.assert_allclose(mean, [0.485, 0.456, 0.406])
    np.testing.assert_allclose(std, [0.229, 0.224, 0.225])


def logits_of(model, pretrained, images):
    images = pretrained.normalize(jnp.asarray(images))
    return jax.jit(partial(model.apply, train=False))({"params": pretrained.params}, images)


def test_matconvnet_network_in_torch(tmp_path):
    """The file's own arithmetic: 0 ... 255 less the average image, and convolutions up to the last layer."""
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(1).uniform(size=(2, 224, 224, 3)).astype("float32")
    x = torch.tensor(255 * images - AVERAGE).permute(0, 3, 1, 2)
    for name, (filters, biases) in some_weights(NarrowVGGF).items():
        stride, pad = (4, 0) if name == "conv1" else (1, {"2": 2, "3": 1, "4": 1, "5": 1}.get(name[4:], 0))
        weight = torch.tensor(filters.transpose(3, 2, 0, 1))
        x = torch.conv2d(x, weight, torch.tensor(biases[0]), stride, pad)
        if name == "fc8":
            break
        x = torch.relu(x)
        if name in ("conv1", "conv2"):
            x = torch.nn.functional.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)
        if name == "conv1":
            x = torch.nn.functional.pad(x, (0, 1, 0, 1))
        if name in ("conv1", "conv2", "conv5"):
            x = torch.max_pool2d(x, 3, 2)
    assert x.shape == (2, CLASSES, 1, 1)
    model = NarrowVGGF(CLASSES)
    pretrained = read_matconvnet(write_matconvnet(tmp_path / "f.mat", NarrowVGGF), model, KEY)
    expected = x[:, :, 0, 0].numpy()
    np.testing.assert_allclose(
        logits_of(model, pretrained, images), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_torchvision_network_in_torch(tmp_path):
    torch = pytest.importorskip("torch")

    class TorchvisionVGG16(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layers, channels = [], 3
            for block in ((8, 8), (16, 16), (32, 32, 32), (64, 64, 64), (64, 64, 64)):
                for outputs in block:
                    layers.extend([torch.nn.Conv2d(channels, outputs, 3, padding=1), torch.nn.ReLU()])
                    channels = outputs
                layers.append(torch.nn.MaxPool2d(2, 2))
            self.features = torch.nn.Sequential(*layers)
            self.avgpool = torch.nn.AdaptiveAvgPool2d((7, 7))
            self.classifier = torch.nn.Sequential(
                *(torch.nn.Linear(7 * 7 * 64, 40), torch.nn.ReLU(), torch.nn.Dropout()),
                *(torch.nn.Linear(40, 40), torch.nn.ReLU(), torch.nn.Dropout()),
                torch.nn.Linear(40, CLASSES),
            )

        def forward(self, x):
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    theirs = TorchvisionVGG16().eval()
    torch.save(theirs.state_dict(), tmp_path / "vgg16.pth")
    images = np.random.default_rng(1).uniform(size=(2, 224, 224, 3)).astype("float32")
    normalized = (images - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = theirs(torch.tensor(normalized, dtype=torch.float32).permute(0, 3, 1, 2)).numpy()
    model = NarrowVGG16(CLASSES)
    pretrained = read_torchvision(tmp_path / "vgg16.pth", model, KEY)
    np.testing.assert_allclose(
        logits_of(model, pretrained, images), expected, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize("num_classes", [7, None])
def test_fc8_for_other_classes_is_the_models_own(tmp_path, num_classes):
    path = write_matconvnet(tmp_path / "f.mat", NarrowVGGF)
    model = NarrowVGGF(num_classes, fc8_bias_init=jax.nn.initializers.constant(0.5))
    params = read_matconvnet(path, model, KEY).params
    weights = some_weights(NarrowVGGF)
    fresh = params.pop("fc8", None)
    del weights["fc8"]
    assert_equal_params(params, weights)
    if num_classes is None:
        assert fresh is None
    else:
        own = jax.jit(lambda key: model.init(key, jnp.zeros((1, 224, 224, 3)), train=False)["params"]["fc8"])
        np.testing.assert_array_equal(fresh["kernel"], own(KEY)["kernel"])
        assert fresh["kernel"].shape == (40, 7)
        np.testing.assert_array_equal(fresh["bias"], np.full(7, 0.5))


def test_one_class_and_an_average_colour(tmp_path):
    layers = matconvnet_layers(NarrowVGGF)
    fc8 = layers[-2]
    filters, biases = (array[..., :1] for array in some_weights(NarrowVGGF)["fc8"])
    fc8["weights"] = cell([filters, biases])
    colour = np.array([[[123.68, 116.779, 103.939]]], "float32")
    path = write_matconvnet(tmp_path / "f.mat", NarrowVGGF, layers=layers, average=colour)
    pretrained = read_matconvnet(path, NarrowVGGF(1), KEY)
    np.testing.assert_array_equal(pretrained.params["fc8"]["kernel"], filters[0, 0])
    images = normal(0, 2, 63, 70, 3)
    np.testing.assert_allclose(pretrained.normalize(images), 255 * images - colour, rtol=1e-4, atol=1e-3)


def test_parameters_have_the_models_dtype(tmp_path):
    path = write_matconvnet(tmp_path / "f.mat", NarrowVGGF)
    model = NarrowVGGF(7, param_dtype="bfloat16")
    params = read_matconvnet(path, model, KEY).params
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


def replaced(layers, name, **fields):
    """The layers, with fields of one of them replaced."""
    return [{**layer, **fields} if layer["name"] == name else layer for layer in layers]


F_LAYERS = matconvnet_layers(NarrowVGGF)
ZEROS = partial(np.zeros, dtype="float32")
NANS = np.full((3, 3, 32, 32), np.nan, "float32")
WHOLE = np.zeros((3, 3, 32, 32), "int16")


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([layer for layer in F_LAYERS if layer["name"] != "fc7"], r"missing are \['fc7'\], .* expected \[\]"),
        (
            [*F_LAYERS, {"name": "conv3_4", "weights": cell([ZEROS((3, 3, 2, 2)), ZEROS((1, 2))])}],
            r"missing are \[\], found but not expected \['conv3_4'\]",
        ),
        (
            replaced(F_LAYERS, "conv2", weights=cell([ZEROS((5, 5, 4, 32)), ZEROS((1, 32))])),
            r"layer conv2 filters must have shape \(5, 5, 8, 32\), found \(5, 5, 4, 32\)",
        ),
        (
            replaced(F_LAYERS, "fc6", weights=cell([ZEROS((7, 7, 32, 40)), ZEROS((1, 40))])),
            r"layer fc6 filters must have shape \(6, 6, 32, 40\), found \(7, 7, 32, 40\)",
        ),
        (
            replaced(F_LAYERS, "fc8", weights=cell([ZEROS((1, 1, 41, 12)), ZEROS((1, 12))])),
            r"layer fc8 filters must have shape \(40, 12\), found \(41, 12\)",
        ),
        (
            replaced(F_LAYERS, "conv5", weights=cell([ZEROS((3, 3, 32, 32)), ZEROS((1, 31))])),
            r"layer conv5 biases must have shape \(32,\), found \(31,\)",
        ),
        (
            replaced(F_LAYERS, "conv4", weights=cell([NANS, ZEROS((1, 32))])),
            "layer conv4 filters must be finite, found NaN",
        ),
        (
            replaced(F_LAYERS, "conv4", weights=cell([WHOLE, ZEROS((1, 32))])),
            "layer conv4 filters must be floating point, found int16",
        ),
        (
            replaced(F_LAYERS, "conv4", weights=cell([ZEROS((3, 3, 32, 32))] * 3)),
            r"layer conv4 must have weights .* found fields \['name', 'pad', 'stride', 'type', 'weights'\]",
        ),
        (replaced(F_LAYERS, "conv1", stride=[[2, 2]]), r"layer conv1 has stride \[2, 2\], expected 4"),
        (replaced(F_LAYERS, "conv2", pad=[[2, 2, 1, 2]]), r"layer conv2 has pad \[2, 2, 1, 2\], expected 2"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path, layers, said):
    path = write_matconvnet(tmp_path / "f.mat", NarrowVGGF, layers=layers)
    with pytest.raises(ValueError, match=rf"read_matconvnet: .*f\.mat cannot be used: .*{said}"):
        read_matconvnet(path, NarrowVGGF(CLASSES), KEY)


@pytest.mark.parametrize("average", [ZEROS((224, 224)), ZEROS((5, 6, 4)), ZEROS((2, 5, 6, 3))])
def test_a_wrong_average_image_is_refused(tmp_path, average):
    path = write_matconvnet(tmp_path / "f.mat", NarrowVGGF, average=average)
    with pytest.raises(ValueError, match=r"f\.mat cannot be used: averageImage must have shape .* found \("):
        read_matconvnet(path, NarrowVGGF(CLASSES), KEY)


@pytest.mark.parametrize(
    "content", [{"other": 1.0}, {"layers": 1.0}, {"layers": cell(F_LAYERS)}, {"layers": cell([1.0, 2.0])}]
)
def test_a_mat_file_of_something_else_is_refused(tmp_path, content):
    scipy.io.savemat(tmp_path / "f.mat", content)
    with pytest.raises(ValueError, match=r"f\.mat cannot be used: it is no network of MatConvNet: .* found"):
        read_matconvnet(tmp_path / "f.mat", NarrowVGGF(CLASSES), KEY)


@pytest.mark.parametrize("cut", [0, 100, 1000, -100_000])
def test_a_truncated_mat_file_is_refused(tmp_path, cut):
    path = write_matconvnet(tmp_path / "f.mat", NarrowVGGF)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"f\.mat cannot be used: it is damaged or not .* download it again"):
        read_matconvnet(path, NarrowVGGF(CLASSES), KEY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features.17.weight": None, "features.17.bias": None}, r"missing are \['features.17.weight', "),
        ({"features.1.running_mean": ZEROS(8)}, r"not expected \['features.1.running_mean'\]"),
        (
            {"features.2.weight": ZEROS((8, 8, 5, 5))},
            r"layer conv1_2 features.2.weight must have shape \(8, 8, 3, 3\), found \(8, 8, 5, 5\)",
        ),
        (
            {"classifier.0.weight": ZEROS((40, 2304))},
            r"layer fc6 classifier.0.weight must have shape \(40, 3136\), found \(40, 2304\)",
        ),
        (
            {"classifier.6.bias": ZEROS((1, 11))},
            r"6.bias must have shape \(11,\), found \(1, 11\)",
        ),
    ],
)
def test_a_state_dict_of_another_network_is_refused(tmp_path, change, said):
    state = {name: array for name, array in (torchvision_state() | change).items() if array is not None}
    np.savez(tmp_path / "vgg16.npz", **state)
    with pytest.raises(ValueError, match=rf"read_torchvision: .*vgg16\.npz cannot be used: .*{said}"):
        read_torchvision(tmp_path / "vgg16.npz", NarrowVGG16(CLASSES), KEY)


@pytest.mark.parametrize("name", ["vgg16.npz", "vgg16.pth"])
def test_a_damaged_state_dict_is_refused(tmp_path, name):
    if name == "vgg16.pth":
        pytest.importorskip("torch")
    (tmp_path / name).write_bytes(b"neither of the two")
    with pytest.raises(ValueError, match=rf"{name} cannot be used: it is damaged or no "):
        read_torchvision(tmp_path / name, NarrowVGG16(CLASSES), KEY)


def test_torch_is_asked_for_only_where_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "vgg16.pth").write_bytes(b"")
    with pytest.raises(ImportError, match=r"vgg16\.pth takes torch to be read: pip install torch, or"):
        read_torchvision(tmp_path / "vgg16.pth", NarrowVGG16(CLASSES), KEY)
    np.savez(tmp_path / "vgg16.npz", **torchvision_state())
    read_torchvision(tmp_path / "vgg16.npz", NarrowVGG16(CLASSES), KEY)


@pytest.mark.parametrize("read", [read_matconvnet, read_torchvision])
def test_a_file_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=rf"{read.__name__}: path '.*nowhere.mat' is not a file"):
        read(tmp_path / "nowhere.mat", NarrowVGG16(CLASSES), KEY)


def test_images_of_another_size_than_the_average_are_refused(unchecked):
    pretrained = Pretrained({}, mean=jnp.zeros((5, 6, 3)), std=jnp.ones(3))
    with pytest.raises(ValueError, match=r"average image's shape \(5, 6, 3\), got shape \(2, 6, 5, 3\)"):
        pretrained.normalize(jnp.zeros((2, 6, 5, 3)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_normalized_images_keep_their_dtype(x64, dtype):
    pretrained = Pretrained({}, mean=jnp.full(3, 0.5), std=jnp.full(3, 0.25))
    normalized = pretrained.normalize(jnp.ones((2, 6, 5, 3), dtype))
    assert normalized.dtype == jnp.dtype(dtype)
    np.testing.assert_array_equal(normalized.astype("float32"), np.full((2, 6, 5, 3), 2))


@pytest.mark.parametrize("model_class", [NarrowVGGF, NarrowVGG16])
def test_flow_network_starts_from_the_mean_over_colours(model_class):
    weights = some_weights(model_class)
    params = {name: {"kernel": filters, "bias": biases[0]} for name, (filters, biases) in weights.items()}
    first = model_class.convs[0].name
    flow = flow_params(params, 20)
    red, green, blue = np.moveaxis(params[first]["kernel"], 2, 0)
    for channel in range(20):
        np.testing.assert_allclose(flow[first]["kernel"][:, :, channel], (red + green + blue) / 3, rtol=1e-4)
    assert flow[first]["bias"] is params[first]["bias"]
    assert {**flow, first: None} == {**params, first: None}
    model = model_class(CLASSES)
    shapes = jax.eval_shape(partial(model.init, train=False), KEY, jnp.zeros((1, 224, 224, 20)))["params"]
    assert flow[first]["kernel"].shape == shapes[first]["kernel"].shape


def test_no_flow_channels_are_refused():
    with pytest.raises(ValueError, match="channels must be positive, got 0"):
        flow_params({"conv1": {"kernel": jnp.zeros((3, 3, 3, 8)), "bias": jnp.zeros(8)}}, 0)


def test_parameters_for_images_that_are_normalized_in_another_way():
    """VGG-F's first convolution pads nothing, so that it makes no difference at the border either."""
    model = NarrowVGGF(CLASSES)
    params = {
        name: {
            "kernel": filters.reshape(-1, filters.shape[-1]) if "fc" in name else filters,
            "bias": biases[0],
        }
        for name, (filters, biases) in some_weights(NarrowVGGF).items()
    }
    colour, std = AVERAGE.mean(axis=(0, 1)) / 255, jnp.array([0.2, 0.3, 0.25])
    images = jax.random.uniform(KEY, (2, 224, 224, 3))
    expected = model.apply(
        {"params": params}, Pretrained(params, colour, std).normalize(images), method="features"
    )
    other = Pretrained(params, AVERAGE / 255, std).params_for(0.5, 0.1)
    found = model.apply({"params": other}, (images - 0.5) / 0.1, method="features")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert {**other, "conv1": None} == {**params, "conv1": None}
