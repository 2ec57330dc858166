"""LeNet behind a spatial transformer (Shan & Atanasov 2017, Figure 1, the second CNN)."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import SpatialTransformer, max_pool
from geoattn_jax.models import glorot
from geoattn_jax.models.lenet import LeNet


class STNLeNet(LeNet):
    """An affine transformer reads a region out of the image; two convolutions without pooling see the region.

    25,741,976 parameters for 64 x 64 x 1 images and 10 classes.

    Attributes:
      num_classes, dtype, remat: see `LeNet`.
      output_hw: height and width of the region, pixels; the paper's is half of its 64 x 64 image.
    """

    output_hw: tuple[int, int] = (32, 32)

    blocks = (
        lambda lenet, x: nn.relu(lenet.conv1(x)),
        lambda lenet, x: nn.relu(lenet.conv2(x)),
    )

    def setup(self) -> None:
        super().setup()
        self.stn = SpatialTransformer(Localizer(self.dtype), output_hw=self.output_hw)

    def features(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 500"]:
        """What the LSTM sees of each frame: fc1, rectified."""
        region, _ = self.transform(images)
        return super().features(region)

    def transform(
        self, images: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b ho wo c"], Float[Array, "b 2 3"]]:
        """What the network looks at (Figure 4): the regions, and their theta."""
        return self.stn(images)


class Localizer(nn.Module):
    """The localization network up to its last layer, theta, which the spatial transformer adds.

    Attributes:
      dtype: of the computation; None to infer it from images and parameters.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 50"]:
        if min(images.shape[1:3]) < 28:
            raise ValueError(
                f"STNLeNet: images must be at least 28 x 28 pixels for the localizer's unpadded "
                f"convolutions, got shape {images.shape}; use larger frames"
            )
        conv, dense = glorot.layers(self.dtype)
        x = max_pool(images)
        x = conv(20, (5, 5), padding="VALID", name="conv1")(x)
        x = max_pool(x)
        x = conv(20, (5, 5), padding="VALID", name="conv2")(x)
        return nn.relu(dense(50, name="fc1")(x.reshape(x.shape[0], -1)))
