"""LeNet with a deformable convolution (Shan & Atanasov 2017, Eq. 1b)."""

import flax.linen as nn

from geoattn_jax.layers import DeformConv
from geoattn_jax.models import glorot
from geoattn_jax.models.lenet import LeNet


class DeformLeNet(LeNet):
    """The network of Eq. 1b: the second convolution moves its taps, the same way for all channels.

    As `DCNLeNet` it does not pool. Its first convolution stays on the grid, as in Dai et al. 2017, where only
    late layers are deformable. 102,456,130 parameters for 64 x 64 x 1 images and 10 classes.

    Attributes:
      num_classes, dtype, remat: see `LeNet`.
    """

    blocks = (
        lambda lenet, x: nn.relu(lenet.conv1(x)),
        lambda lenet, x: nn.relu(lenet.conv2(x)),
    )

    def setup(self) -> None:
        conv, dense = glorot.layers(self.dtype)
        self.conv1 = conv(20, (5, 5))
        self.conv2 = DeformConv(50, (5, 5), kernel_init=glorot.initializer, dtype=self.dtype)
        self.fc1 = dense(500)
        self.fc2 = dense(self.num_classes)
