"""LeNet, the baseline of Shan & Atanasov 2017 (Figure 1, the first CNN)."""

from typing import ClassVar

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import max_pool, through_blocks
from geoattn_jax.layers.remat import Block
from geoattn_jax.models import glorot


class LeNet(nn.Module):
    """Two convolutions, each pooled, and two dense layers.

    6,431,080 parameters for 64 x 64 x 1 images and 10 classes.

    Attributes:
      num_classes: number of outputs.
      dtype: of the computation; None to infer it from images and parameters.
      remat: whether activations are computed again for the gradients, see `through_blocks`.

    Example:
      >>> import jax
      >>> from geoattn_jax.models.lenet import LeNet
      >>> model, images = LeNet(), jax.numpy.ones((2, 32, 32, 1))
      >>> variables = model.init(jax.random.key(0), images)
      >>> model.apply(variables, images).shape, model.apply(variables, images, method="features").shape
      ((2, 10), (2, 500))
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    remat: bool = False

    # What comes before the dense layers, which see its feature map flattened.
    blocks: ClassVar[tuple[Block, ...]] = (
        lambda lenet, x: max_pool(nn.relu(lenet.conv1(x))),
        lambda lenet, x: max_pool(nn.relu(lenet.conv2(x))),
    )

    def setup(self) -> None:
        conv, dense = glorot.layers(self.dtype)
        self.conv1 = conv(20, (5, 5))
        self.conv2: nn.Module = conv(50, (5, 5))  # another kind in `DeformLeNet`
        self.fc1 = dense(500)
        self.fc2 = dense(self.num_classes)

    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b classes"]:
        """The logits of each image's class."""
        return self.fc2(self.features(images))

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 500"]:
        """What the LSTM sees of each frame: fc1, rectified."""
        x = through_blocks(self, self.blocks, images, remat=self.remat)
        return nn.relu(self.fc1(x.reshape(x.shape[0], -1)))
