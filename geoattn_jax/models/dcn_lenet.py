"""LeNet with per-channel offset layers (Shan & Atanasov 2017, Figure 1, the third CNN)."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import ConvOffset2D, through_blocks
from geoattn_jax.models import glorot


class DCNLeNet(nn.Module):
    """Two convolutions without pooling, each followed by offset2D as in the authors' program.

    102,483,280 parameters for 64 x 64 x 1 images and 10 classes. `DeformLeNet` is the network of the paper's
    Eq. 1b instead.

    Attributes:
      num_classes: number of outputs.
      dtype: of the computation; None to infer it from images and parameters.
      remat: whether activations are computed again for the gradients, see `through_blocks`.
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    remat: bool = False

    def setup(self) -> None:
        conv, dense = glorot.layers(self.dtype)
        self.conv1 = conv(20, (5, 5))
        self.offset1 = ConvOffset2D()
        self.conv2 = conv(50, (5, 5))
        self.offset2 = ConvOffset2D()
        self.fc1 = dense(500)
        self.fc2 = dense(self.num_classes)

    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b classes"]:
        """The logits of each image's class."""
        return self.fc2(self.features(images))

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 500"]:
        """What the LSTM sees of each frame: fc1, rectified."""
        blocks = (
            lambda lenet, x: lenet.offset1(nn.relu(lenet.conv1(x))),
            lambda lenet, x: lenet.offset2(nn.relu(lenet.conv2(x))),
        )
        x = through_blocks(self, blocks, images, remat=self.remat)
        return nn.relu(self.fc1(x.reshape(x.shape[0], -1)))
