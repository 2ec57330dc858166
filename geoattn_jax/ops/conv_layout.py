"""The sizes of a deformable convolution: what its arguments must be to fit, and where its taps look."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops import checks
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.sample import check_image
from geoattn_jax.ops.sizes import Size, as_operand, is_size, surely_less

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]


class ConvLayout(NamedTuple):
    """What a deformable convolution is besides its arrays; sizes and steps are (y, x), in pixels."""

    kernel_hw: tuple[int, int]
    output_hw: tuple[Size, Size]
    strides: tuple[int, int]
    padding: tuple[tuple[Size, Size], tuple[Size, Size]]
    kernel_dilation: tuple[int, int]
    offset_groups: int
    feature_groups: int

    @property
    def taps(self) -> int:
        """The number of taps, |R| in Eq. 1 of Shan & Atanasov 2017."""
        return self.kernel_hw[0] * self.kernel_hw[1]

    def positions(
        self,
        offsets: Float[Array, "*b t n 2"],
        first_tap: int | Int[Array, ""] = 0,
        first_pixel: int | Int[Array, ""] = 0,
    ) -> Float[Array, "*b t n 2"]:
        """Where t taps in a row look from n output pixels in a row: p0 + p_n + dp_n of Eq. 1b."""
        dp_n = widen(offsets)
        taps = np.stack(np.unravel_index(np.arange(self.taps), self.kernel_hw), axis=-1)
        padding_before = jnp.stack([jnp.asarray(before, dp_n.dtype) for before, _ in self.padding])
        all_p_n = jnp.asarray(taps * self.kernel_dilation, dp_n.dtype) - padding_before
        p_n = lax.dynamic_slice_in_dim(all_p_n, first_tap, dp_n.shape[-3])
        pixels = first_pixel + jnp.arange(dp_n.shape[-2])
        row, column = jnp.divmod(pixels, as_operand(self.output_hw[1], pixels.dtype))
        p0 = jnp.stack([row, column], axis=-1).astype(dp_n.dtype) * jnp.asarray(self.strides, dp_n.dtype)
        return p0 + p_n[:, None] + dp_n


def resolve_layout(
    image: Float[Array, "b h w cin"],
    offsets: Float[Array, "b ho wo g taps 2"],
    kernel: Float[Array, "kh kw cin_per_group cout"],
    bias: Float[Array, " cout"] | None,
    mask: Float[Array, "b ho wo g taps"] | None,
    strides: tuple[int, int],
    padding: Padding,
    kernel_dilation: tuple[int, int],
    feature_group_count: int,
) -> ConvLayout:
    """Checks the arguments of `deform_conv2d` against each other.

    Raises: ValueError naming the argument that does not fit, what came and what was expected.
    """
    name = "deform_conv2d"
    check_image(name, image)
    checks.check_array(
        name, "offsets", offsets, "b ho wo g taps 2",
        "split a branch's channels by offsets.reshape(*offsets.shape[:3], groups, -1, 2); "
        "for torchvision's offsets there is offsets_from_torchvision",
    )  # fmt: skip
    checks.check_array(
        name, "kernel", kernel, "kh kw cin_per_group cout", "keep axes of length 1: the order is HWIO"
    )
    checks.check_pair(name, "strides", strides, minimum=1)
    checks.check_pair(name, "kernel_dilation", kernel_dilation, minimum=1)
    b, cin = image.shape[0], image.shape[-1]
    kh, kw, _, cout = kernel.shape
    pads, output_hw = _pads_and_output(image, kernel, strides, padding, kernel_dilation)

    if not isinstance(feature_group_count, Integral) or feature_group_count < 1 or cin % feature_group_count:
        raise ValueError(
            f"{name}: feature_group_count must divide the {cin} channels of image, shape {image.shape}, "
            f"got {feature_group_count}"
        )
    checks.check_shape(
        name, "kernel", kernel, (kh, kw, cin // feature_group_count, cout),
        because=f"(HWIO, for image {image.shape} in {feature_group_count} feature groups)",
        remedy="transpose it to HWIO, or change feature_group_count",
    )  # fmt: skip
    if cout % feature_group_count:
        raise ValueError(
            f"{name}: kernel must have a multiple of feature_group_count={feature_group_count} outputs, "
            f"got {cout} in shape {kernel.shape}"
        )
    groups = offsets.shape[3]
    checks.check_shape(
        name, "offsets", offsets, (b, *output_hw, groups, kh * kw, 2),
        because=f"(image {image.shape}, kernel {kernel.shape}, strides {strides}, padding {padding!r}, "
        f"kernel_dilation {kernel_dilation})",
        remedy="compute the offsets at the output's size, one (dy, dx) for each group and tap",
    )  # fmt: skip
    if groups == 0 or cin % groups:
        raise ValueError(
            f"{name}: offsets must have a number of groups that divides the {cin} channels of image, "
            f"shape {image.shape}, got {groups} groups in shape {offsets.shape}"
        )
    if mask is not None:
        checks.check_array(
            name, "mask", mask, "b ho wo g taps",
            "split a branch's channels by mask.reshape(*mask.shape[:3], groups, -1); "
            "for torchvision's mask there is mask_from_torchvision",
        )  # fmt: skip
        checks.check_shape(
            name, "mask", mask, offsets.shape[:-1],
            because=f"(one weight for each offset of shape {offsets.shape})",
            remedy="give every tap of every offset group its weight, or mask=None",
        )  # fmt: skip
    if bias is not None:
        checks.check_array(name, "bias", bias, "cout", "give every output channel its bias, or bias=None")
        checks.check_shape(
            name, "bias", bias, (cout,), because=f"(one for each output of kernel {kernel.shape})",
            remedy="give every output channel its bias, or bias=None",
        )  # fmt: skip
    for other, array in (("kernel", kernel), ("bias", bias)):
        if array is not None and array.dtype != image.dtype:
            raise ValueError(
                f"{name}: {other} must have image's dtype {image.dtype}, got {array.dtype}; cast one of them"
            )
    return ConvLayout(
        (kh, kw), output_hw, tuple(strides), pads, tuple(kernel_dilation), groups, feature_group_count
    )


def _pads_and_output(image, kernel, strides, padding, kernel_dilation):
    """The padding in pixels, ((top, bottom), (left, right)), and the output's height and width."""
    reach = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:2], kernel_dilation, strict=True)]
    if isinstance(padding, str):
        checks.check_choice("deform_conv2d", "padding", padding, ("SAME", "VALID"))
        (top, bottom), (left, right) = lax.padtype_to_pads(image.shape[1:3], reach, strides, padding)
        pads = (top, bottom), (left, right)
    else:
        pads = _pairs(padding)
    output = tuple(
        (size + before + after - span) // stride + 1
        for size, (before, after), span, stride in zip(image.shape[1:3], pads, reach, strides, strict=True)
    )
    if any(surely_less(size, 1) for size in output):
        raise ValueError(
            f"deform_conv2d: kernel must fit into the padded image, got kernel {kernel.shape} with "
            f"kernel_dilation {kernel_dilation} for image {image.shape} with padding {padding!r}"
        )
    return pads, output


def _pairs(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """`padding` as a tuple of tuples.

    Raises: ValueError if it is not two pairs of whole numbers that are not negative.
    """

    def is_pair(value: object) -> bool:
        return isinstance(value, Sequence) and len(value) == 2

    fits = is_pair(padding) and all(
        is_pair(pair) and all(is_size(pixels) and not surely_less(pixels, 0) for pixels in pair)
        for pair in padding
    )
    if not fits:
        raise ValueError(
            "deform_conv2d: padding must be 'SAME', 'VALID' or ((top, bottom), (left, right)) in pixels, "
            f"not negative, got {padding!r}"
        )
    (top, bottom), (left, right) = padding
    return (top, bottom), (left, right)
