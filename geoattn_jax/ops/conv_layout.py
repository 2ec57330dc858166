"""The sizes of a deformable convolution: what its arguments must be to fit, and where its taps look."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops import checks
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.sample import check_image, check_volume
from geoattn_jax.ops.sizes import Size, as_operand, is_size, surely_less

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]


class ConvLayout(NamedTuple):
    """What a deformable convolution is besides its arrays; sizes and steps are ([z,] y, x), in pixels."""

    kernel_sizes: tuple[int, ...]
    output_sizes: tuple[Size, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[Size, Size], ...]
    kernel_dilation: tuple[int, ...]
    offset_groups: int
    feature_groups: int

    @property
    def taps(self) -> int:
        """The number of taps, |R| in Eq. 1 of Shan & Atanasov 2017."""
        return math.prod(self.kernel_sizes)

    @property
    def num_outputs(self) -> Size:
        """The number of output pixels of an image."""
        return math.prod(self.output_sizes)

    def positions(
        self,
        offsets: Float[Array, "*b t n d"],
        first_tap: int | Int[Array, ""] = 0,
        first_pixel: int | Int[Array, ""] = 0,
    ) -> Float[Array, "*b t n d"]:
        """Where t taps in a row look from n output pixels in a row: p0 + p_n + dp_n of Eq. 1b."""
        dp_n = widen(offsets)
        taps = np.stack(np.unravel_index(np.arange(self.taps), self.kernel_sizes), axis=-1)
        padding_before = jnp.stack([jnp.asarray(before, dp_n.dtype) for before, _ in self.padding])
        all_p_n = jnp.asarray(taps * self.kernel_dilation, dp_n.dtype) - padding_before
        p_n = lax.dynamic_slice_in_dim(all_p_n, first_tap, dp_n.shape[-3])
        pixels = first_pixel + jnp.arange(dp_n.shape[-2])
        places = []
        for size in self.output_sizes[:0:-1]:
            pixels, place = jnp.divmod(pixels, as_operand(size, pixels.dtype))
            places.append(place)
        p0 = jnp.stack([pixels, *places[::-1]], axis=-1).astype(dp_n.dtype)
        return p0 * jnp.asarray(self.strides, dp_n.dtype) + p_n[:, None] + dp_n


def resolve_layout(
    function: str,
    image: Float[Array, "b *sizes cin"],
    offsets: Float[Array, "b *outputs g taps d"],
    kernel: Float[Array, "*ks cin_per_group cout"],
    bias: Float[Array, " cout"] | None,
    mask: Float[Array, "b *outputs g taps"] | None,
    strides: Sequence[int],
    padding: Padding,
    kernel_dilation: Sequence[int],
    feature_group_count: int,
) -> ConvLayout:
    """Checks the arguments of `deform_conv2d` or `deform_conv3d` against each other.

    Args:
      function: which of the two.
      others: its arguments.

    Raises: ValueError naming the argument that does not fit, what came and what was expected.
    """
    words = _WORDS[function]
    d = len(words.axes)
    if function == "deform_conv2d":
        check_image(function, image)
    else:
        check_volume(function, words.image, image)
    checks.check_array(
        function, "offsets", offsets, f"b {words.outputs} g taps {d}",
        f"split a branch's channels by "
        f"offsets.reshape(*offsets.shape[:{d + 1}], groups, -1, {d}){words.offsets}",
    )  # fmt: skip
    checks.check_array(
        function, "kernel", kernel, f"{words.kernel} cin_per_group cout",
        f"keep axes of length 1: the order is {words.order}",
    )  # fmt: skip
    checks.check_steps(function, "strides", strides, words.axes, minimum=1)
    checks.check_steps(function, "kernel_dilation", kernel_dilation, words.axes, minimum=1)
    b, cin = image.shape[0], image.shape[-1]
    *kernel_sizes, _, cout = kernel.shape
    pads, output_sizes = _pads_and_output(function, image, kernel, strides, padding, kernel_dilation)

    if not isinstance(feature_group_count, Integral) or feature_group_count < 1 or cin % feature_group_count:
        raise ValueError(
            f"{function}: feature_group_count must divide the {cin} channels of {words.image}, "
            f"shape {image.shape}, got {feature_group_count}"
        )
    checks.check_shape(
        function, "kernel", kernel, (*kernel_sizes, cin // feature_group_count, cout),
        because=f"({words.order}, for {words.image} {image.shape} in {feature_group_count} feature groups)",
        remedy=f"transpose it to {words.order}, or change feature_group_count",
    )  # fmt: skip
    if cout % feature_group_count:
        raise ValueError(
            f"{function}: kernel must have a multiple of feature_group_count={feature_group_count} outputs, "
            f"got {cout} in shape {kernel.shape}"
        )
    groups = offsets.shape[-3]
    checks.check_shape(
        function, "offsets", offsets, (b, *output_sizes, groups, math.prod(kernel_sizes), d),
        because=f"({words.image} {image.shape}, kernel {kernel.shape}, strides {strides}, "
        f"padding {padding!r}, kernel_dilation {kernel_dilation})",
        remedy=f"compute the offsets at the output's size, one ({words.offset}) for each group and tap",
    )  # fmt: skip
    if groups == 0 or cin % groups:
        raise ValueError(
            f"{function}: offsets must have a number of groups that divides the {cin} channels of "
            f"{words.image}, shape {image.shape}, got {groups} groups in shape {offsets.shape}"
        )
    if mask is not None:
        checks.check_array(
            function, "mask", mask, f"b {words.outputs} g taps",
            f"split a branch's channels by "
            f"mask.reshape(*mask.shape[:{d + 1}], groups, -1){words.mask}",
        )  # fmt: skip
        checks.check_shape(
            function, "mask", mask, offsets.shape[:-1],
            because=f"(one weight for each offset of shape {offsets.shape})",
            remedy="give every tap of every offset group its weight, or mask=None",
        )  # fmt: skip
    if bias is not None:
        own = "give every output channel its bias, or bias=None"
        checks.check_array(function, "bias", bias, "cout", own)
        checks.check_shape(
            function, "bias", bias, (cout,), because=f"(one for each output of kernel {kernel.shape})",
            remedy=own,
        )  # fmt: skip
    for other, array in (("kernel", kernel), ("bias", bias)):
        if array is not None and array.dtype != image.dtype:
            raise ValueError(
                f"{function}: {other} must have {words.image}'s dtype {image.dtype}, got {array.dtype}; "
                f"cast one of them"
            )
    return ConvLayout(
        tuple(kernel_sizes),
        output_sizes,
        tuple(strides),
        pads,
        tuple(kernel_dilation),
        groups,
        feature_group_count,
    )


class _Words(NamedTuple):
    """What errors call the arguments of a convolution, and their axes."""

    image: str
    axes: tuple[str, ...]
    outputs: str
    kernel: str
    order: str
    offset: str
    pads: str
    offsets: str = ""
    mask: str = ""


_WORDS = {
    "deform_conv2d": _Words(
        "image",
        ("y", "x"),
        "ho wo",
        "kh kw",
        "HWIO",
        "dy, dx",
        "(top, bottom), (left, right)",
        offsets="; for torchvision's offsets there is offsets_from_torchvision",
        mask="; for torchvision's mask there is mask_from_torchvision",
    ),
    "deform_conv3d": _Words(
        "volume",
        ("z", "y", "x"),
        "do ho wo",
        "kd kh kw",
        "DHWIO",
        "dz, dy, dx",
        "(front, back), (top, bottom), (left, right)",
    ),
}


def _pads_and_output(function, image, kernel, strides, padding, kernel_dilation):
    """The padding in pixels, a pair for each axis, and the output's sizes."""
    sizes, kernel_sizes, words = image.shape[1:-1], kernel.shape[:-2], _WORDS[function]
    reach = [(size - 1) * step + 1 for size, step in zip(kernel_sizes, kernel_dilation, strict=True)]
    if isinstance(padding, str):
        checks.check_choice(function, "padding", padding, ("SAME", "VALID"))
        pads = tuple((before, after) for before, after in lax.padtype_to_pads(sizes, reach, strides, padding))
    else:
        pads = _pairs(function, padding)
    output = tuple(
        (size + before + after - span) // stride + 1
        for size, (before, after), span, stride in zip(sizes, pads, reach, strides, strict=True)
    )
    if any(surely_less(size, 1) for size in output):
        raise ValueError(
            f"{function}: kernel must fit into the padded {words.image}, got kernel {kernel.shape} with "
            f"kernel_dilation {kernel_dilation} for {words.image} {image.shape} with padding {padding!r}"
        )
    return pads, output


def _pairs(function: str, padding: Any) -> tuple[tuple[int, int], ...]:
    """`padding` as a tuple of tuples.

    Raises: ValueError if it is not a pair of whole numbers that are not negative for each axis.
    """
    words = _WORDS[function]

    def is_row(value: object, length: int) -> bool:
        return isinstance(value, Sequence) and len(value) == length

    fits = is_row(padding, len(words.axes)) and all(
        is_row(pair, 2) and all(is_size(pixels) and not surely_less(pixels, 0) for pixels in pair)
        for pair in padding
    )
    if not fits:
        raise ValueError(
            f"{function}: padding must be 'SAME', 'VALID' or ({words.pads}) in pixels, "
            f"not negative, got {padding!r}"
        )
    return tuple((before, after) for before, after in padding)
