"""Published weights as a start: where they go, what stays random, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from narrow_vgg import NarrowVGG16, NarrowVGGF
from weight_files import some_weights, torchvision_state, write_matconvnet

from geoattn_jax.experiments.attention.published_weights import with_weights
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_2.experiment import SupervisedAttention, kitchen_config
from geoattn_jax.models.sstn import SSTN

CLASSES = 5  # other ones than the files'


def network_and_params(channels):
    model = SSTN(NarrowVGGF(None), NarrowVGG16(CLASSES), crop_hw=(448, 448), region_hw=(224, 224))
    frames = jnp.zeros((1, 448, 600, channels))
    init = jax.jit(lambda key: model.init(key, frames, jnp.zeros((1, 2), jnp.int32), train=False)["params"])
    return model, init(jax.random.key(0))


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "vgg16.npz", **torchvision_state())
    return {
        "vgg_f": str(write_matconvnet(tmp_path / "vgg_f.mat", NarrowVGGF)),
        "vgg_m": None,
        "vgg_16": str(tmp_path / "vgg16.npz"),
    }


@pytest.mark.parametrize("channels", [3, 20])
def test_all_but_the_last_layers_are_those_of_the_files(files, channels):
    model, params = network_and_params(channels)
    started = with_weights(params, model, files, channels=channels)
    assert jax.tree.map(jnp.shape, started) == jax.tree.map(jnp.shape, params)
    for part, kind, first in (("localizer", NarrowVGGF, "conv1"), ("recognizer", NarrowVGG16, "conv1_1")):
        for name, (filters, biases) in some_weights(kind).items():
            if name in ("fc8", first):
                continue
            kernel = started[part][name]["kernel"]
            np.testing.assert_array_equal(kernel, filters.reshape(kernel.shape))
            np.testing.assert_array_equal(started[part][name]["bias"], biases[0])
        kernel = started[part][first]["kernel"]
        assert np.abs(kernel - params[part][first]["kernel"]).max() > 0.01
        assert channels == 3 or (kernel == kernel[:, :, :1]).all()
    assert started["transformer"] is params["transformer"]
    assert started["recognizer"]["fc8"] is params["recognizer"]["fc8"]


def test_a_network_without_a_file_stays_random(files):
    model, params = network_and_params(3)
    started = with_weights(params, model, {**files, "vgg_f": None}, channels=3)
    assert started["localizer"] is params["localizer"]
    assert started["recognizer"]["fc6"] is not params["recognizer"]["fc6"]


@pytest.mark.parametrize(
    ("scale", "network", "name", "said"),
    [
        ("mini", "vgg_16", "there.npz", r"weights\.vgg_16 must be None unless config\.scale is paper"),
        (
            "paper",
            "vgg_16",
            "not_there.npz",
            r"weights\.vgg_16 must be a file that exists, got '.*not_there.npz'",
        ),
        ("paper", "vgg_m", "there.npz", r"weights\.vgg_m must be MatConvNet's, a \.mat file"),
        ("paper", "vgg_f", "there.npz", r"weights\.vgg_f must be None, as only vgg_16 and vgg_m are trained"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, scale, network, name, said):
    (tmp_path / "there.npz").touch()
    config = kitchen_config()
    config.scale, config.weights[network] = scale, str(tmp_path / name)
    config.localizers = ("middle",)
    with pytest.raises(ConfigError, match=said):
        SupervisedAttention.prepare(config, Fitting(config, tmp_path, trains=True))
