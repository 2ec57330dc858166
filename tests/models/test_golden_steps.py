"""One training step of each model in numbers: whatever changes them changes published results.

The parameters are numpy's random numbers, which stay the same in every version of JAX.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from narrow_vgg import NarrowVGG16, NarrowVGGF, NarrowVGGM
from variables import normal, random_variables

from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.frame_cnn import FrameCNN
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.resnet import ResNet18
from geoattn_jax.models.small import SMALL, SMALL_WIDE
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.models.stn_lenet import STNLeNet
from geoattn_jax.models.video_classifier import VideoClassifier

IMAGES = (3, 12, 10, 1)
VIDEO = (3, 4, 12, 10, 1)
PHOTOS = (3, 63, 70, 3)
LABELS = jnp.array([1, 4, 2])


def sstn_logits(sstn, frames):
    """SSTN's logits on crops of 16 x 16 pixels."""
    logits, _ = sstn(frames, jnp.array([[0, 3], [2, 0], [1, 1]]), train=False)
    return logits


SSTN_TINY = SSTN(SMALL(None), SMALL_WIDE(7), crop_hw=(16, 16), region_hw=(8, 8))

GOLDEN = {  # model, shape of its inputs, options; loss, norm of the gradient, loss after a step
    "LeNet": (LeNet(), IMAGES, {}, (2.377701, 3.6594, 2.364332)),
    "STNLeNet": (STNLeNet(output_hw=(10, 9)), (3, 28, 30, 1), {}, (2.66785, 13.25549, 2.545336)),
    "DCNLeNet": (DCNLeNet(), IMAGES, {}, (2.42048, 6.52368, 2.378077)),
    "DeformLeNet": (DeformLeNet(), IMAGES, {}, (2.213131, 7.168375, 2.162537)),
    "VideoClassifier": (VideoClassifier(LeNet()), VIDEO, {}, (4.697263, 0.8746542, 4.696498)),
    "FrameCNN": (FrameCNN(55), IMAGES, {"train": True}, (3.947007, 0.7544942, 3.946437)),
    "SSTN": (SSTN_TINY, (3, 18, 20, 3), {"method": sstn_logits}, (1.928936, 0.5504389, 1.928633)),
    "ResNet18": (ResNet18(55, width=0.125), (3, 37, 30, 3), {"train": True}, (4.012103, 2.753243, 4.00531)),
    "VGGF": (NarrowVGGF(55), PHOTOS, {"train": False}, (4.201337, 4.800013, 4.178503)),
    "VGGM": (NarrowVGGM(55), PHOTOS, {"train": False}, (4.86154, 15.13477, 4.646804)),
    "VGG16": (NarrowVGG16(55), PHOTOS, {"train": False}, (3.671325, 17.07593, 3.423755)),
    "CNNLSTM": (CNNLSTM(55), VIDEO, {"train": True}, (3.960604, 0.4644535, 3.960389)),
}
DEEP = {"VGGF", "VGGM", "VGG16"}  # with small parameters the image would be lost on its way


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_step(name):
    model, shape, options, golden = GOLDEN[name]
    scale = 0.1 if name in DEEP else 0.05
    np.testing.assert_allclose(step(model, normal(0, *shape), scale, options), golden, rtol=1e-4)


def step(model, inputs, scale, options):
    """Loss, gradient norm, and loss after one step of plain gradient descent."""
    variables = random_variables(model, inputs, scale=scale, **options)

    def loss_of(params):
        logits, _ = model.apply({**variables, "params": params}, inputs, mutable=["batch_stats"], **options)
        logits = jnp.concatenate(logits, axis=1) if isinstance(logits, tuple) else logits[:, None]
        labels = jnp.broadcast_to(LABELS[:, None], logits.shape[:2])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def numbers(params):
        loss, gradient = jax.value_and_grad(loss_of)(params)
        stepped = jax.tree.map(lambda param, grad: param - 1e-3 * grad, params, gradient)
        return loss, optax.tree.norm(gradient), loss_of(stepped)

    return [float(number) for number in numbers(variables["params"])]
