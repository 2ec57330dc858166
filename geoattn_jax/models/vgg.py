"""The VGG networks, with which Liu et al. 2019 localize and recognize.

VGG-F and VGG-M are CNN-F and CNN-M of Chatfield et al. 2014 (Table 1), VGG-16 is column D of Simonyan &
Zisserman 2015 (Table 1). Each is a table of convolutions, to be read beside the paper's; fc6, fc7 and fc8
follow. `geoattn_jax.models.pretrained` reads their published weights.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import (
    Dropout,
    local_response_norm,
    max_pool,
    overlapping_max_pool,
    through_blocks,
)
from geoattn_jax.layers.remat import Block
from geoattn_jax.ops.checks import check_array


class ConvLayer(NamedTuple):
    """A row of a paper's table: a convolution, rectified, and what follows it.

    Attributes:
      name: the layer's name, here and in MatConvNet's files.
      features: number of output channels.
      kernel: side of the kernel, pixels.
      stride: pixels.
      pad: rows and columns of zeros on each side.
      lrn: whether local response normalization follows.
      pool: the pooling that follows, if any.
    """

    name: str
    features: int
    kernel: int
    stride: int = 1
    pad: int = 0
    lrn: bool = False
    pool: Callable[[Array], Array] | None = None


class VGG(nn.Module):
    """What the networks have in common: convolutions from a table, then three fully connected layers.

    The papers' images are 224 x 224. Others do too, of any number of channels, down to `smallest_side`; fc6
    then has another number of inputs.

    A fresh network starts as in He et al. 2015, which trains without pretraining; fc8 starts small.

    Attributes:
      num_classes: number of outputs of fc8. None to leave fc8 out, for a last layer of your own (that of
        `SpatialTransformer`, for one): the network then returns what fc8 would see.
      dropout_rate: share of the outputs of fc6 and fc7 that training drops; Liu et al. have 0.85 in the
        recognizers of spatial streams, 0.5 in those of temporal streams and in localizers.
      dtype: of the computation; None to infer it from images and parameters.
      param_dtype: of the parameters.
      remat: whether activations are computed again for the gradients, see `through_blocks`.
      fc8_kernel_init, fc8_bias_init: initializers of the last layer.

    Example:
      >>> import jax
      >>> from geoattn_jax.models.vgg import VGG16
      >>> model, images = VGG16(num_classes=64, dropout_rate=0.85), jax.numpy.ones((2, 224, 224, 3))
      >>> def train_and_describe(key):
      ...     variables = model.init(key, images, train=False)
      ...     logits = model.apply(variables, images, train=True, rngs={"dropout": key})
      ...     return logits, model.apply(variables, images, method="features")
      >>> [array.shape for array in jax.eval_shape(train_and_describe, jax.random.key(0))]
      [(2, 64), (2, 4096)]
    """

    num_classes: int | None = 1000
    dropout_rate: float = 0.5
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = "float32"
    remat: bool = False
    fc8_kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.01)
    fc8_bias_init: nn.initializers.Initializer = nn.initializers.zeros

    convs: ClassVar[tuple[ConvLayer, ...]]
    smallest_side: ClassVar[int]  # pixels: below, nothing is left after the last pooling
    units: ClassVar[int] = 4096  # of fc6 and fc7

    def setup(self) -> None:
        network = type(self).__name__
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(
                f"{network}: dropout_rate must be at least 0 and below 1, got {self.dropout_rate}; "
                f"it is the share that is dropped"
            )
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(
                f"{network}: num_classes must be positive, or None to leave fc8 out, got {self.num_classes}"
            )
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        he_normal = nn.initializers.he_normal()
        for row in self.convs:
            conv = nn.Conv(
                row.features,
                (row.kernel, row.kernel),
                strides=row.stride,
                padding=row.pad,
                kernel_init=he_normal,
                **dtypes,
            )
            setattr(self, row.name, conv)
        self.fc6 = nn.Dense(self.units, kernel_init=he_normal, **dtypes)
        self.fc7 = nn.Dense(self.units, kernel_init=he_normal, **dtypes)
        self.dropout = Dropout(self.dropout_rate)
        if self.num_classes is not None:
            self.fc8 = nn.Dense(
                self.num_classes, kernel_init=self.fc8_kernel_init, bias_init=self.fc8_bias_init, **dtypes
            )

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b outputs"]:
        """The logits of each image's class, or without fc8 what it would see: fc7, rectified.

        With `train`, fc6 and fc7 are dropped out (random numbers "dropout").

        Raises: ValueError if the images are too small or not floating-point (b, h, w, c).
        """
        x = self.dropout(self.features(images), deterministic=not train)
        x = self.dropout(nn.relu(self.fc7(x)), deterministic=not train)
        return x if self.num_classes is None else self.fc8(x)

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b units"]:
        """The descriptors of each image: fc6, rectified, nothing dropped."""
        x = self.feature_map(images)
        return nn.relu(self.fc6(x.reshape(x.shape[0], -1)))

    def feature_map(self, images: Float[Array, "b h w c"]) -> Float[Array, "b ho wo channels"]:
        """What the fully connected layers see: the last convolution, rectified and pooled."""
        network = type(self).__name__
        check_array(network, "images", images, "b h w c")
        if min(images.shape[1:3]) < self.smallest_side:
            raise ValueError(
                f"{network}: images must be at least {self.smallest_side} x {self.smallest_side} pixels, "
                f"got shape {images.shape}; use larger ones (the paper's are 224 x 224)"
            )

        def block(rows: Sequence[ConvLayer]) -> Block:
            def rectified_convs(vgg: VGG, x: Array) -> Array:
                for row in rows:
                    x = nn.relu(getattr(vgg, row.name)(x))
                    if row.lrn:
                        x = local_response_norm(x)
                    if row.pool is not None:
                        x = row.pool(x)
                return x

            return rectified_convs

        return through_blocks(self, map(block, _up_to_pools(self.convs)), images, remat=self.remat)


def _up_to_pools(rows: Iterable[ConvLayer]) -> list[list[ConvLayer]]:
    """A table in parts, each of which but the last ends with a pooling."""
    parts: list[list[ConvLayer]] = [[]]
    for row in rows:
        if parts[-1] and parts[-1][-1].pool is not None:
            parts.append([])
        parts[-1].append(row)
    return parts


class VGGF(VGG):
    """VGG-F, the fast one: 60,834,536 parameters for 224 x 224 x 3 images and 1000 classes. See `VGG`."""

    # `pad_end` is as in MatConvNet's files: at 224 x 224 it amounts to Caffe's rounding up.
    convs = (
        ConvLayer("conv1", 64, 11, stride=4, lrn=True, pool=partial(overlapping_max_pool, pad_end=1)),
        ConvLayer("conv2", 256, 5, pad=2, lrn=True, pool=overlapping_max_pool),
        ConvLayer("conv3", 256, 3, pad=1),
        ConvLayer("conv4", 256, 3, pad=1),
        ConvLayer("conv5", 256, 3, pad=1, pool=overlapping_max_pool),
    )
    smallest_side = 63


class VGGM(VGG):
    """VGG-M, of medium speed: 102,908,520 parameters for 224 x 224 x 3 images and 1000 classes. See `VGG`."""

    convs = (
        ConvLayer("conv1", 96, 7, stride=2, lrn=True, pool=overlapping_max_pool),
        ConvLayer("conv2", 256, 5, stride=2, pad=1, lrn=True, pool=partial(overlapping_max_pool, pad_end=1)),
        ConvLayer("conv3", 512, 3, pad=1),
        ConvLayer("conv4", 512, 3, pad=1),
        ConvLayer("conv5", 512, 3, pad=1, pool=overlapping_max_pool),
    )
    smallest_side = 59


class VGG16(VGG):
    """VGG-16: 138,357,544 parameters for 224 x 224 x 3 images and 1000 classes. See `VGG`."""

    convs = (
        ConvLayer("conv1_1", 64, 3, pad=1),
        ConvLayer("conv1_2", 64, 3, pad=1, pool=max_pool),
        ConvLayer("conv2_1", 128, 3, pad=1),
        ConvLayer("conv2_2", 128, 3, pad=1, pool=max_pool),
        ConvLayer("conv3_1", 256, 3, pad=1),
        ConvLayer("conv3_2", 256, 3, pad=1),
        ConvLayer("conv3_3", 256, 3, pad=1, pool=max_pool),
        ConvLayer("conv4_1", 512, 3, pad=1),
        ConvLayer("conv4_2", 512, 3, pad=1),
        ConvLayer("conv4_3", 512, 3, pad=1, pool=max_pool),
        ConvLayer("conv5_1", 512, 3, pad=1),
        ConvLayer("conv5_2", 512, 3, pad=1),
        ConvLayer("conv5_3", 512, 3, pad=1, pool=max_pool),
    )
    smallest_side = 32
