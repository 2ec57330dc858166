"""Layers and networks with their batch divided among devices in any way: equal to one device."""

import contextlib
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import schedules
from placements import PLACEMENTS, Subject, check_divided
from variables import normal, random_variables

from geoattn_jax.layers import ConvOffset2D, DeformConv, SpatialTransformer, VideoLSTM
from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.frame_cnn import FrameCNN, mean_log_probabilities
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.small import SmallCNN
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.models.stn_lenet import Localizer, STNLeNet
from geoattn_jax.models.vgg import VGG16, VGGF, VGGM
from geoattn_jax.models.video_classifier import VideoClassifier

EVERY_PLATFORM = True

# The same lines are run, and their coverage measured, by the tests of each layer and network and by those of
# the divided operations; to measure it here too takes a quarter more time.
pytestmark = [pytest.mark.usefixtures("x64", "compiled_quickly"), pytest.mark.no_cover]
small = partial(SmallCNN, ((4,), (4,)), 8)


def narrow(network):
    """The same convolutions with few channels, and few units."""
    convs = tuple(row._replace(features=4) for row in network.convs)
    return type(network.__name__, (network,), {"convs": convs, "units": 6})(3)


def of_module(module, *shape: int, corners: bool = False, **options) -> Subject:
    """A module's outputs from images (or what has `shape`), and if asked for from windows in them."""
    inputs = normal(0, *shape)
    top_left = jnp.asarray(np.random.default_rng(1).integers(0, 4, size=(len(inputs), 2)))
    constants = (top_left,) if corners else ()
    variables = dict(random_variables(module, inputs, *constants, **options))
    inputs, variables = jax.tree.map(lambda array: array.astype("float64"), (inputs, variables))
    params = variables.pop("params")
    statistics = jax.tree.map(jnp.abs, variables)  # a variance is positive

    def apply(inputs, params, constants):
        keys = {"dropout": jax.random.key(0)}
        return module.apply({"params": params, **statistics}, inputs, *constants, rngs=keys, **options)

    return Subject(apply, inputs, params, constants)


# Batch normalization is tested as it is evaluated: in training its statistics are those of the whole batch,
# which devices have to exchange.
SUBJECTS = {
    "DeformConv": lambda: of_module(
        DeformConv(6, (3, 3), strides=(2, 1), modulated=True, offset_groups=2, feature_group_count=2),
        8, 6, 7, 4,
    ),
    "ConvOffset2D": lambda: of_module(ConvOffset2D(), 8, 6, 7, 3),
    "SpatialTransformer": lambda: of_module(
        SpatialTransformer(Localizer(), (6, 5), mode="attention", padding_mode="border"), 8, 28, 29, 2
    ),
    "VideoLSTM": lambda: of_module(VideoLSTM(5), 8, 3, 4),
    "LeNet": lambda: of_module(LeNet(3), 8, 12, 13, 1),
    "STNLeNet": lambda: of_module(STNLeNet(3, output_hw=(8, 6)), 8, 28, 29, 1),
    "DCNLeNet": lambda: of_module(DCNLeNet(3), 8, 5, 6, 1),
    "DeformLeNet": lambda: of_module(DeformLeNet(3), 8, 5, 6, 1),
    "FrameCNN": lambda: of_module(FrameCNN(3), 8, 16, 17, 1, train=False),
    "CNNLSTM": lambda: of_module(CNNLSTM(3, 4), 8, 2, 16, 17, 1, train=False),
    "VideoClassifier": lambda: of_module(VideoClassifier(LeNet(3), 3, 4), 8, 2, 12, 13, 1),
    "mean_log_probabilities": lambda: Subject(
        lambda logits, *_: mean_log_probabilities(logits), normal(0, 8, 3, 5, dtype="float64")
    ),
    "SmallCNN": lambda: of_module(small(3), 8, 8, 9, 2, train=False),
    "SSTN, pooled": lambda: of_module(
        SSTN(small(None), small(3), (12, 12), (6, 6)), 8, 16, 17, 3, corners=True, train=False
    ),
    "SSTN, resized": lambda: of_module(
        SSTN(small(None), small(3), (12, 12), (8, 8)), 8, 16, 17, 3, corners=True, train=False
    ),
    "VGGF": lambda: of_module(narrow(VGGF), 8, 63, 64, 3, train=False),
    "VGGM": lambda: of_module(narrow(VGGM), 8, 59, 60, 3, train=False),
    "VGG16": lambda: of_module(narrow(VGG16), 8, 32, 33, 3, train=False),
}  # fmt: skip


@cache
def prepared(name: str) -> Subject:
    """One for all tests, which is run on one device once."""
    return SUBJECTS[name]()


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_equals_one_device(name, placement):
    """In the first three, programs are traced for all platforms, too."""
    everywhere = placement in ("explicit", "auto", "shard_map")
    with contextlib.nullcontext() if everywhere else schedules.of_cpus():
        check_divided(prepared(name), PLACEMENTS[placement], jit=True)


@pytest.mark.usefixtures("compiled_once")
@pytest.mark.parametrize("placement", ["explicit", "shard_map"])
@pytest.mark.parametrize("name", ["DeformConv", "SpatialTransformer", "CNNLSTM", "SSTN, resized"])
def test_eagerly_too(name, placement):
    check_divided(prepared(name), PLACEMENTS[placement], jit=False)


@pytest.mark.parametrize("placement", [name for name in PLACEMENTS if not PLACEMENTS[name].per_device])
def test_dropout_drops_the_same(placement):
    """Where the program is one for all devices; inside of shard_map each needs a key of its own."""
    check_divided(of_module(small(3), 8, 8, 9, 2, train=True), PLACEMENTS[placement], jit=True)
