"""Layers and networks exported with symbols for sizes, serialized and read back: direct calls' numbers."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from exported import array, check_exported
from variables import random_variables

from geoattn_jax.layers import ConvOffset2D, DeformConv, SpatialTransformer, VideoLSTM
from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.frame_cnn import FrameCNN
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.small import SmallCNN
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.models.stn_lenet import Localizer, STNLeNet
from geoattn_jax.models.vgg import VGGF
from geoattn_jax.models.video_classifier import VideoClassifier

EVERY_PLATFORM = True

# The networks' lines are measured by the tests of each; to measure them here too takes two fifths more time.
pytestmark = [pytest.mark.usefixtures("compiled_quickly"), pytest.mark.no_cover]

small = partial(SmallCNN, ((4,), (4,)), 8)


class NarrowVGGF(VGGF):
    convs = tuple(row._replace(features=4) for row in VGGF.convs)
    units = 6


MODULES = {
    "SpatialTransformer": (SpatialTransformer(Localizer(), (6, 5), mode="translation"), (28, 29, 2), {}),
    "DeformConv": (DeformConv(6, (3, 3), strides=2, modulated=True, offset_groups=2), (6, 7, 4), {}),
    "ConvOffset2D": (ConvOffset2D(), (6, 7, 3), {}),
    "VideoLSTM": (VideoLSTM(5), (3, 4), {}),
    "LeNet": (LeNet(3), (12, 13, 1), {}),
    "STNLeNet": (STNLeNet(3, output_hw=(8, 6)), (28, 29, 1), {}),
    "DCNLeNet": (DCNLeNet(3), (5, 6, 1), {}),
    "DeformLeNet": (DeformLeNet(3), (5, 6, 1), {}),
    "FrameCNN": (FrameCNN(3), (16, 17, 1), {"train": False}),
    "CNNLSTM": (CNNLSTM(3, 4), (2, 16, 17, 1), {"train": False}),
    "VideoClassifier": (VideoClassifier(LeNet(3), 3, 4), (2, 12, 13, 1), {}),
    "SmallCNN": (small(3), (8, 9, 2), {"train": False}),
    "VGGF": (NarrowVGGF(3), (63, 64, 3), {"train": False}),
}


@pytest.mark.parametrize("name", MODULES)
def test_any_batch(name):
    module, shape, options = MODULES[name]
    params, apply = of_module(module, array(0, 2, *shape), **options)
    check_exported(partial(apply, params), lambda b: (array(0, b, *shape),), [(3,), (1,)], "b")


@pytest.mark.parametrize("region_hw", [(6, 6), (8, 8)], ids=["pooled", "resized"])
def test_any_batch_of_frames(region_hw):
    model = SSTN(small(None), small(3), (12, 12), region_hw)

    def apply_to(frames, params=None):
        top_left = jnp.ones((frames.shape[0], 2), jnp.int32)
        if params is None:
            return random_variables(model, frames, top_left, train=False)["params"]
        return model.apply({"params": params}, frames, top_left, train=False)

    params = apply_to(array(0, 2, 16, 17, 3))
    check_exported(partial(apply_to, params=params), lambda b: (array(0, b, 16, 17, 3),), [(3,), (1,)], "b")


class Pooled(nn.Module):
    """A localizer for images of any size.

    Without strides: JAX 0.10 exports no convolution of any size with them, forward with "SAME" or backward.
    """

    @nn.compact
    def __call__(self, images):
        return nn.relu(nn.Conv(5, (3, 3))(images)).mean(axis=(1, 2))


@pytest.mark.parametrize(
    ("module", "channels"),
    [
        (SpatialTransformer(Pooled(), mode="affine"), 1),
        (DeformConv(6, (3, 3), offset_groups=2), 4),
        (DeformConv(6, (3, 3), padding=((1, 1), (2, 0))), 4),
        (ConvOffset2D(), 3),
    ],
    ids=["SpatialTransformer", "DeformConv", "DeformConv padded", "ConvOffset2D"],
)
def test_images_of_any_size(module, channels):
    params, apply = of_module(module, array(0, 2, 6, 7, channels))
    check_exported(
        partial(apply, params),
        lambda b, h, w: (array(0, b, h, w, channels),),
        [(2, 6, 7), (1, 9, 4)],
        "b, h, w",
    )


def of_module(module, inputs, **options):
    """Random parameters, and the module's outputs as a function of them and of its inputs."""
    variables = dict(random_variables(module, inputs, **options))
    params = variables.pop("params")
    statistics = jax.tree.map(jnp.abs, variables)  # a variance is positive

    def apply(params, inputs):
        return module.apply({"params": params, **statistics}, inputs, **options)

    return params, apply
