"""Small stand-ins for the VGG networks, called as they are, for frames a seventh of the paper's size."""

from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import Dropout, max_pool, through_blocks
from geoattn_jax.layers.remat import Block


class SmallCNN(nn.Module):
    """3x3 convolutions in stages, each pooled, and one dense layer before the classes.

    Starts as in He et al. 2015; the last layer starts lecun-normal.

    Attributes:
      stages: the channels of each stage's convolutions.
      units: size of the dense layer, FC6.
      num_classes: number of outputs; None for a localizer, whose output is FC6.
      dropout_rate: share of FC6 that is dropped in training.
      dtype: of the computation; None to infer it from images and parameters.
      remat: whether activations are computed again for the gradients, see `through_blocks`.
    """

    stages: tuple[tuple[int, ...], ...]
    units: int
    num_classes: int | None
    dropout_rate: float = 0.5
    dtype: DTypeLike | None = None
    remat: bool = False

    def setup(self) -> None:
        he = nn.initializers.he_normal()
        conv = partial(nn.Conv, kernel_size=(3, 3), kernel_init=he, dtype=self.dtype)
        self.convs = [[conv(channels) for channels in stage] for stage in self.stages]
        self.fc6 = nn.Dense(self.units, kernel_init=he, dtype=self.dtype)
        self.dropout = Dropout(self.dropout_rate)
        if self.num_classes is not None:
            self.fc7 = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b outputs"]:
        """The logits of each image's class, or without classes FC6; with `train`, some of FC6 is dropped."""
        x = self.dropout(self.features(images), deterministic=not train)
        return x if self.num_classes is None else self.fc7(x)

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b units"]:
        """FC6, rectified, nothing dropped."""

        def block(number: int) -> Block:
            def stage(cnn: SmallCNN, x: Array) -> Array:
                for conv in cnn.convs[number]:
                    x = nn.relu(conv(x))
                return max_pool(x)

            return stage

        x = through_blocks(self, map(block, range(len(self.stages))), images, remat=self.remat)
        return nn.relu(self.fc6(x.reshape(x.shape[0], -1)))


# From few parameters to many, as VGG-F, VGG-M and VGG-16 are in the paper.
SMALL = partial(SmallCNN, ((16,), (32,), (32,)), 128)
MEDIUM = partial(SmallCNN, ((24,), (48,), (48, 64)), 256)
LARGE = partial(SmallCNN, ((32, 32), (64, 64), (96, 96)), 512)
# Recognizes; as `SMALL`, but with as many features as `MEDIUM` before its dense layer.
SMALL_WIDE = partial(SmallCNN, ((16,), (32,), (64,)), 128)
