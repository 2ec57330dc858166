"""Layers that learn how to deform: deformable convolution and the per-channel offset layer."""

from typing import Any

import flax.linen as nn
import jax
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_pair
from geoattn_jax.ops.conv_layout import Padding
from geoattn_jax.ops.deform_conv import deform_conv2d
from geoattn_jax.ops.precision import wide_dtype
from geoattn_jax.ops.sample import check_image, offset_resample

OFFSET = "offset"  # the name of every branch that predicts offsets


class DeformConv(nn.Module):
    """Deformable convolution with its own offset branch: `nn.Conv` that learns where its taps read.

    Eq. 1b of Shan & Atanasov 2017 (Dai et al. 2017, Eq. 2), or with `modulated` Zhu et al. 2018, Eq. 1
    (DCNv2). The offset branch is a convolution with the same kernel size, strides, padding and dilation, all
    zeros at the start, so the layer begins as the plain convolution of its kernel. With `modulated` the
    branch also gives one mask value in (0, 1) for each tap, the sigmoid of its output as in DCNv2; it begins
    at 1/2, so the layer begins as *half* the plain convolution (before the bias).

    Convention: the branch's channels are (offset group, tap in row-major order, (dy, dx)) in row-major order,
    or (dy, dx, mask) with `modulated`; offsets in input pixels. They are computed in float32 at least,
    whatever the dtype of the activations.

    Its parameters are `kernel`, `bias` (as those of `nn.Conv`) and the branch's own under `offset`; see
    `offset_labels` for training them at their own rate. The offsets are sown as `offsets` into the collection
    "intermediates".

    Attributes:
      features: number of output channels.
      kernel_size: height and width of the kernel.
      strides, kernel_dilation: a number, or a pair (y, x).
      padding: "SAME", "VALID" or ((top, bottom), (left, right)).
      feature_group_count: groups of the convolution's channels.
      offset_groups: groups of input channels, each read at its own offsets.
      modulated: whether to weight the taps with a learned mask (DCNv2).
      use_bias: whether to add a bias.
      dtype: of the computation; None to infer it from image and parameters.
      param_dtype: of the parameters.
      kernel_init, bias_init: initializers of `kernel` and `bias`.

    Example:
      >>> import jax
      >>> from geoattn_jax import DeformConv
      >>> layer = DeformConv(features=32, kernel_size=(3, 3))
      >>> images = jax.random.normal(jax.random.key(0), (2, 7, 8, 16))
      >>> variables = layer.init(jax.random.key(1), images)
      >>> layer.apply(variables, images).shape
      (2, 7, 8, 32)
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: Padding = "SAME"
    kernel_dilation: int | tuple[int, int] = 1
    feature_group_count: int = 1
    offset_groups: int = 1
    modulated: bool = False
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = "float32"
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, image: Float[Array, "b h w cin"]) -> Float[Array, "b ho wo cout"]:
        """Convolves `image` at the positions that the offset branch chooses.

        Returns: the feature map, in `dtype`.
        Raises: ValueError if kernel_size, strides or kernel_dilation are not positive integers, a number of
          groups does not divide the channels, or padding is unknown.
        """
        check_image("DeformConv", image)
        strides, dilation = _pair(self.strides), _pair(self.kernel_dilation)
        check_pair("DeformConv", "kernel_size", self.kernel_size, minimum=1)
        check_pair("DeformConv", "strides", strides, minimum=1)
        check_pair("DeformConv", "kernel_dilation", dilation, minimum=1)
        in_channels = image.shape[-1]
        self._check_divides("feature_group_count", in_channels, "input channels")
        self._check_divides("feature_group_count", self.features, "features")
        self._check_divides("offset_groups", in_channels, "input channels")

        per_group = (*self.kernel_size, in_channels // self.feature_group_count, self.features)
        kernel = self.param("kernel", self.kernel_init, per_group, self.param_dtype)
        bias = (
            self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        )
        image, kernel, bias = promote_dtype(image, kernel, bias, dtype=self.dtype)

        taps = self.kernel_size[0] * self.kernel_size[1]
        per_tap = 3 if self.modulated else 2
        branch = nn.Conv(
            self.offset_groups * taps * per_tap,
            self.kernel_size,
            strides=strides,
            padding=self.padding,
            kernel_dilation=dilation,
            kernel_init=nn.initializers.zeros,
            dtype=wide_dtype(image),
            precision=lax.Precision.HIGHEST,
            param_dtype=self.param_dtype,
            name=OFFSET,
        )(image)
        branch = branch.reshape(*branch.shape[:3], self.offset_groups, taps, per_tap)
        offsets = branch[..., :2]
        mask = nn.sigmoid(branch[..., 2]) if self.modulated else None
        self.sow("intermediates", "offsets", offsets)
        return deform_conv2d(
            image,
            offsets,
            kernel,
            bias,
            mask=mask,
            strides=strides,
            padding=self.padding,
            kernel_dilation=dilation,
            feature_group_count=self.feature_group_count,
        )

    def _check_divides(self, name: str, channels: int, of_what: str) -> None:
        groups = getattr(self, name)
        if groups < 1 or channels % groups:
            raise ValueError(
                f"DeformConv: {name} must be positive and divide the {channels} {of_what}, got {groups}"
            )


class ConvOffset2D(nn.Module):
    """Reads every channel at its own learned offsets: the offset2D(C) of Shan & Atanasov 2017, Figure 1.

    A 3x3 convolution without bias gives each of the C channels an offset field of its own; each channel is
    then resampled bilinearly at its own positions, clipped to the image's border. This is not Eq. 1b, which
    moves the taps of one kernel (`DeformConv`).

    Convention: the convolution's channels 2c and 2c + 1 are dy and dx of channel c, in pixels, each pixel's
    offsets computed around that pixel. (Keras programs of this layer reshape these planes without regard to
    their axes and so give a pixel the offsets of another; that is not repeated here.) They are computed in
    float32 at least, whatever the dtype of the activations.

    Its parameters are the convolution's, under `offset`; see `offset_labels`. The offsets are sown as
    `offsets` into the collection "intermediates".

    Attributes:
      kernel_init: initializer of the offset convolution.
      param_dtype: of the parameters.

    Example:
      >>> import jax
      >>> from geoattn_jax import ConvOffset2D
      >>> images = jax.random.normal(jax.random.key(0), (2, 7, 8, 16))
      >>> resampled, variables = ConvOffset2D().init_with_output(jax.random.key(1), images)
      >>> resampled.shape
      (2, 7, 8, 16)
    """

    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.01)
    param_dtype: DTypeLike = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Resamples `image`; the result has its shape and dtype."""
        check_image("ConvOffset2D", image)
        offsets = nn.Conv(
            2 * image.shape[-1],
            (3, 3),
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=wide_dtype(image),
            precision=lax.Precision.HIGHEST,
            param_dtype=self.param_dtype,
            name=OFFSET,
        )(image)
        offsets = offsets.reshape(*image.shape, 2)
        self.sow("intermediates", "offsets", offsets)
        return offset_resample(image, offsets)


def offset_labels(params: Any) -> Any:
    """Labels every parameter "offset" (of a branch that predicts offsets) or "rest".

    For training offsets at their own rate; Dai et al. 2017 and Zhu et al. 2018 take a tenth of the rest's:

      optimizer = optax.partition({"offset": optax.sgd(1e-4), "rest": optax.sgd(1e-3)}, offset_labels)

    Args:
      params: the parameters of a model that holds `DeformConv` or `ConvOffset2D` layers anywhere.

    Returns: a tree of the same structure, with a label in place of every parameter.
    """

    def label(path: tuple[Any, ...], _: Any) -> str:
        return "offset" if any(getattr(key, "key", None) == OFFSET for key in path) else "rest"

    return jax.tree_util.tree_map_with_path(label, params)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    y, x = (value, value) if isinstance(value, int) else value
    return y, x
