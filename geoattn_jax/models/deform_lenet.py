"""LeNet with a deformable convolution (Shan & Atanasov 2017, Eq. 1b)."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import DeformConv, through_blocks
from geoattn_jax.models import glorot


class DeformLeNet(nn.Module):
    """The network of Eq. 1b: the second convolution moves its taps, the same way for all channels.

    As `DCNLeNet` it does not pool. Its first convolution stays on the grid, as in Dai et al. 2017, where only
    late layers are deformable. 102,456,130 parameters for 64 x 64 x 1 images and 10 classes.

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
        self.conv2 = DeformConv(50, (5, 5), kernel_init=glorot.initializer, dtype=self.dtype)
        self.fc1 = dense(500)
        self.fc2 = dense(self.num_classes)

    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b classes"]:
        """The logits of each image's class."""
        return self.fc2(self.features(images))

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 500"]:
        """What the LSTM sees of each frame: fc1, rectified."""
        blocks = (
            lambda lenet, x: nn.relu(lenet.conv1(x)),
            lambda lenet, x: nn.relu(lenet.conv2(x)),
        )
        x = through_blocks(self, blocks, images, remat=self.remat)
        return nn.relu(self.fc1(x.reshape(x.shape[0], -1)))
