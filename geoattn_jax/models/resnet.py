"""ResNet-18 (He et al. 2016, "Deep Residual Learning for Image Recognition", Table 1).

The network is a table of stages, to be read beside the paper's. Each convolution is followed by batch
normalization, whose running statistics are the collection "batch_stats".
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers.batch_norm import normalize
from geoattn_jax.layers.remat import Block, through_blocks
from geoattn_jax.ops.checks import check_array, check_choice

Stem = Literal["imagenet", "small"]


class Stage(NamedTuple):
    """A row of the paper's table: some blocks of equally many channels.

    Attributes:
      name: the row's name.
      features: number of output channels, before `ResNet.width` scales it.
      blocks: how many.
      stride: of the first block, pixels.
    """

    name: str
    features: int
    blocks: int
    stride: int


class ResNet(nn.Module):
    """A stem, stages of residual blocks, the mean over all places, and one dense layer.

    With `train` a batch is normalized by its own mean and variance, which move the running averages;
    otherwise by these. Convolutions start as in He et al. 2015 and have no bias, which the normalization
    would cancel.

    Attributes:
      num_classes: number of outputs; None to leave the dense layer out.
      dropout_rate: share of the features that training drops; the paper drops none.
      stem: "imagenet" is the paper's conv1 with its pooling, which divide the sides by 4; "small" one 3 x 3
        convolution, as in the paper's networks for 32 x 32 images (section 4.2).
      global_pool: False to flatten the last feature map instead of averaging it. The average forgets where
        something was, which a localizer has to tell.
      width: share of the paper's channels.
      axis_name: the devices' axis, where each device sees its own share of the batch (pmap); the batch's
        statistics are then those of all devices.
      dtype: of the computation; None to infer it from images and parameters.
      param_dtype: of the parameters.
      remat: whether activations are computed again for the gradients, see `through_blocks`.

    Example:
      >>> import jax
      >>> from geoattn_jax.models.resnet import ResNet18
      >>> model, images = ResNet18(num_classes=64, stem="small", width=0.25), jax.numpy.ones((2, 32, 32, 3))
      >>> variables = model.init(jax.random.key(0), images, train=False)
      >>> logits, updated = model.apply(variables, images, train=True, mutable=["batch_stats"])
      >>> logits.shape, model.apply(variables, images, method="features").shape
      ((2, 64), (2, 128))
    """

    num_classes: int | None = 1000
    dropout_rate: float = 0.0
    stem: Stem = "imagenet"
    global_pool: bool = True
    width: float = 1.0
    axis_name: str | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = "float32"
    remat: bool = False

    stages: ClassVar[tuple[Stage, ...]]

    def setup(self) -> None:
        check_choice("ResNet", "stem", self.stem, get_args(Stem))
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = partial(nn.Conv, use_bias=False, kernel_init=_he_normal, **dtypes)
        norm = partial(
            nn.BatchNorm, momentum=0.9, epsilon=1e-5, axis_name=self.axis_name, param_dtype=self.param_dtype
        )
        side, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        first = self._channels(self.stages[0])
        self.conv1 = conv(features=first, kernel_size=(side, side), strides=stride, padding=side // 2)
        self.norm1 = norm()
        for stage in self.stages:
            for number in range(stage.blocks):
                block = ResidualBlock(self._channels(stage), stage.stride if number == 0 else 1, conv, norm)
                setattr(self, f"{stage.name}_{number + 1}", block)
        self.dropout = nn.Dropout(self.dropout_rate)
        if self.num_classes is not None:
            self.fc = nn.Dense(self.num_classes, **dtypes)

    @property
    def units(self) -> int:
        """How many features there are, of the average over all places."""
        return self._channels(self.stages[-1])

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b outputs"]:
        """The logits of each image's class, or without classes the features.

        With `train`, some features are dropped out (random numbers "dropout").

        Raises: ValueError if the images are not floating-point (b, h, w, c).
        """
        x = self.dropout(self.features(images, train=train), deterministic=not train)
        return x if self.num_classes is None else self.fc(x)

    def features(self, images: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b features"]:
        """The descriptors of each image, nothing dropped: the last feature map's mean over all places."""
        x = self.feature_map(images, train=train)
        return x.mean(axis=(1, 2)) if self.global_pool else x.reshape(x.shape[0], -1)

    def feature_map(
        self, images: Float[Array, "b h w c"], *, train: bool = False
    ) -> Float[Array, "b ho wo channels"]:
        """The last stage's output."""
        check_array(type(self).__name__, "images", images, "b h w c")

        def stem(resnet: ResNet, x: Array) -> Array:
            x = nn.relu(normalize(resnet.norm1, resnet.conv1(x), train=train))
            if resnet.stem == "small":
                return x
            return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

        def residual_block(name: str) -> Block:
            return lambda resnet, x: getattr(resnet, name)(x, train=train)

        names = (f"{stage.name}_{number + 1}" for stage in self.stages for number in range(stage.blocks))
        return through_blocks(self, [stem, *map(residual_block, names)], images, remat=self.remat)

    def _channels(self, stage: Stage) -> int:
        return max(round(self.width * stage.features), 1)


class ResidualBlock(nn.Module):
    """The basic building block (Figure 2, Eq. 1 and 2): two 3 x 3 convolutions beside a shortcut.

    Where the shapes differ, the shortcut is a 1 x 1 convolution (option B).

    Attributes:
      features: number of output channels.
      stride: of the first convolution, pixels.
      conv, norm: make the layers.
    """

    features: int
    stride: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b ho wo features"]:
        """The rectified sum of both ways."""

        def normalized_conv(x: Array, side: int, stride: int, suffix: str) -> Array:
            conv = self.conv(
                self.features, (side, side), strides=stride, padding=side // 2, name=f"conv{suffix}"
            )
            return normalize(self.norm(name=f"norm{suffix}"), conv(x), train=train)

        residual = nn.relu(normalized_conv(x, 3, self.stride, "1"))
        residual = normalized_conv(residual, 3, 1, "2")
        if self.stride != 1 or x.shape[-1] != self.features:
            x = normalized_conv(x, 1, self.stride, "_shortcut")
        return nn.relu(residual + x)


class ResNet18(ResNet):
    """The 18-layer network: 11,689,512 parameters for 3 channels and 1000 classes. See `ResNet`."""

    stages = (
        Stage("conv2", 64, blocks=2, stride=1),
        Stage("conv3", 128, blocks=2, stride=2),
        Stage("conv4", 256, blocks=2, stride=2),
        Stage("conv5", 512, blocks=2, stride=2),
    )


_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
