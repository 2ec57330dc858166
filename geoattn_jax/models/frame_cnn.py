"""A frame classifier that generalizes to new digits and motions, and the baseline that averages it over time.

What makes it generalize is global average pooling: a feature means the same wherever in the frame it is.
LeNet's dense layer on the flattened feature map barely leaves chance level on the same videos.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers.batch_norm import normalize
from geoattn_jax.layers.remat import Block, through_blocks
from geoattn_jax.ops.precision import widen


class FrameCNN(nn.Module):
    """Five convolutions with batch normalization, global average pooling and two dense layers.

    Attributes:
      num_classes: number of outputs.
      axis_name: the devices' axis, where each device sees its own share of the batch (pmap); the batch's
        statistics are then those of all devices.
      dtype: of the computation; None to infer it from images and parameters.
      remat: whether activations are computed again for the gradients, see `through_blocks`.

    Example:
      >>> import jax
      >>> from geoattn_jax.models.frame_cnn import FrameCNN
      >>> model, images = FrameCNN(num_classes=55), jax.numpy.ones((2, 64, 64, 1))
      >>> variables = model.init(jax.random.key(0), images, train=False)
      >>> logits, updated = model.apply(variables, images, train=True, mutable=["batch_stats"])
      >>> logits.shape
      (2, 55)
    """

    num_classes: int
    axis_name: str | None = None
    dtype: DTypeLike | None = None
    remat: bool = False

    def setup(self) -> None:
        norm = partial(nn.BatchNorm, momentum=0.9, axis_name=self.axis_name)
        # A bias would be cancelled by the normalization.
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        self.conv1 = conv(16, (5, 5), strides=2)
        self.norm1 = norm()
        self.conv2 = conv(32, (3, 3), strides=2)
        self.norm2 = norm()
        self.conv3 = conv(64, (3, 3), strides=2)
        self.norm3 = norm()
        self.conv4 = conv(96, (3, 3))
        self.norm4 = norm()
        self.conv5 = conv(128, (3, 3))
        self.norm5 = norm()
        self.fc1 = nn.Dense(256, dtype=self.dtype)
        self.fc2 = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b classes"]:
        """The logits of each image's class; with `train`, normalized by the batch's own statistics."""
        return self.classify(self.features(images, train=train))

    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b 256"]:
        """What an LSTM sees of each frame: fc1, rectified."""

        def block(number: int) -> Block:
            def normalized_conv(cnn: FrameCNN, x: Array) -> Array:
                conv, norm = getattr(cnn, f"conv{number}"), getattr(cnn, f"norm{number}")
                return nn.relu(normalize(norm, conv(x), train=train))

            return normalized_conv

        x = through_blocks(self, map(block, range(1, 6)), images, remat=self.remat)
        return nn.relu(self.fc1(x.mean(axis=(1, 2))))

    def classify(self, features: Float[Array, "b 256"]) -> Float[Array, "b classes"]:
        """The logits of each image's class, from its features."""
        return self.fc2(features)


def mean_log_probabilities(logits: Float[Array, "b t classes"]) -> Float[Array, "b classes"]:
    """A video's scores from the logits of its frames: the mean over time of their log-softmax.

    In float32 at least.
    """
    return jnp.mean(jax.nn.log_softmax(widen(logits)), axis=1)
