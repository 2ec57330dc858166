"""LeNet with per-channel offset layers (Shan & Atanasov 2017, Figure 1, the third CNN)."""

import flax.linen as nn

from geoattn_jax.layers import ConvOffset2D
from geoattn_jax.models.lenet import LeNet


class DCNLeNet(LeNet):
    """Two convolutions without pooling, each followed by offset2D as in the authors' program.

    102,483,280 parameters for 64 x 64 x 1 images and 10 classes. `DeformLeNet` is the network of the paper's
    Eq. 1b instead.

    Attributes:
      num_classes, dtype, remat: see `LeNet`.
    """

    blocks = (
        lambda lenet, x: lenet.offset1(nn.relu(lenet.conv1(x))),
        lambda lenet, x: lenet.offset2(nn.relu(lenet.conv2(x))),
    )

    def setup(self) -> None:
        super().setup()
        self.offset1 = ConvOffset2D()
        self.offset2 = ConvOffset2D()
