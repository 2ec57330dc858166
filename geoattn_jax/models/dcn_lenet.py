"""LeNet with per-channel offset layers (Shan & Atanasov 2017, Figure 1, the third CNN)."""

import flax.linen as nn
from jaxtyping import Array, Float

from geoattn_jax.layers import ConvOffset2D
from geoattn_jax.models import keras


class DCNLeNet(nn.Module):
    """Two convolutions without pooling, each followed by offset2D as in the authors' program.

    102,483,280 parameters for 64 x 64 x 1 images and 10 classes. `DeformLeNet` is the network of the paper's
    Eq. 1b instead.

    Attributes:
      num_classes: number of outputs.
    """

    num_classes: int = 10

    def setup(self) -> None:
        self.conv1 = keras.conv(20, (5, 5))
        self.offset1 = ConvOffset2D()
        self.conv2 = keras.conv(50, (5, 5))
        self.offset2 = ConvOffset2D()
        self.fc1 = keras.dense(500)
        self.fc2 = keras.dense(self.num_classes)

    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b classes"]:
        """The logits of each image's class."""
        return self.fc2(self.features(images))

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 500"]:
        """What the LSTM sees of each frame: fc1, rectified."""
        x = self.offset1(nn.relu(self.conv1(images)))
        x = self.offset2(nn.relu(self.conv2(x)))
        return nn.relu(self.fc1(x.reshape(x.shape[0], -1)))
