"""Where to look: sampling grids from transformation parameters, and the one conversion of coordinates."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_array, check_pair, check_shape
from geoattn_jax.ops.sizes import Size, as_operand, is_number, larger, may_exceed


def affine_grid(
    theta: Float[Array, "b 2 3"],
    *,
    input_hw: tuple[Size, Size],
    output_hw: tuple[Size, Size],
    align_corners: bool = False,
) -> Float[Array, "b ho wo 2"]:
    """Positions in the input that an affine transformation reads for each output pixel.

    Jaderberg et al. 2015, Eq. 1; Liu et al. 2019, Eq. 1.

    Convention: theta maps normalized target (x, y, 1) to normalized source (x, y), both in [-1, 1]; the
    result is (y, x) in input pixels, pixel centres at integers, y down. Without `align_corners` -1 and 1
    are the outer edges of the outermost pixels, with it their centres (as in torch). The identity theta
    gives exact integers.

    Args:
      theta: one affine matrix for each image, [[1, 0, 0], [0, 1, 0]] is the identity. Keep it in float32
        or wider: in bfloat16 a position beyond pixel 128 has no fraction left.
      input_hw: height and width of the image that will be read, pixels.
      output_hw: height and width of the grid, pixels.
      align_corners: what -1 and 1 stand for.

    Returns: positions (y, x) in pixels, in theta's dtype.
    Raises: ValueError if theta is not a floating-point (b, 2, 3), or a size is not two positive integers.

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import affine_grid
      >>> half = jnp.array([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])  # the middle half of each side
      >>> affine_grid(half, input_hw=(8, 8), output_hw=(1, 2))[0, 0].tolist()
      [[3.5, 2.5], [3.5, 4.5]]
    """
    theta = jnp.asarray(theta)
    _check("affine_grid", theta, input_hw, output_hw)

    def source(row: Float[Array, "b 3"], size: Size) -> Float[Array, "b ho wo"]:
        target_y, target_x = (_pixels_from_centre(n, size, align_corners, row.dtype) for n in output_hw)
        along_x, along_y, shift = (row[:, column, None, None] for column in range(3))
        return along_x * target_x + along_y * target_y[:, None] + _centre(shift, size, align_corners)

    return jnp.stack([source(theta[:, 1], input_hw[0]), source(theta[:, 0], input_hw[1])], axis=-1)


def axis_aligned_grid(
    theta: Float[Array, "b 2 3"],
    *,
    input_hw: tuple[Size, Size],
    output_hw: tuple[Size, Size],
    align_corners: bool = False,
) -> tuple[Float[Array, "b ho"], Float[Array, "b wo"]]:
    """The rows and columns of `affine_grid`, for a theta that neither rotates nor shears.

    `affine_grid(...)[b, i, j]` is then `rows[b, i], columns[b, j]`. What theta holds off its diagonal is not
    looked at. Arguments and errors are those of `affine_grid`.
    """
    theta = jnp.asarray(theta)
    _check("axis_aligned_grid", theta, input_hw, output_hw)

    def along(axis: int) -> Float[Array, "b n"]:
        scale, shift = theta[:, 1 - axis, 1 - axis, None], theta[:, 1 - axis, 2, None]
        size = input_hw[axis]
        target = _pixels_from_centre(output_hw[axis], size, align_corners, theta.dtype)
        return scale * target + _centre(shift, size, align_corners)

    return along(0), along(1)


def crop_theta(
    top_left: Float[Array, "b 2"],
    size: tuple[float | Size, float | Size],
    *,
    input_hw: tuple[Size, Size],
    align_corners: bool = False,
) -> Float[Array, "b 2 3"]:
    """The theta whose region is the window of `size` pixels that begins at `top_left`.

    `affine_grid(crop_theta(top_left, size, input_hw=hw), input_hw=hw, output_hw=size)` is the window's own
    pixels. This is theta_2 of Liu et al. 2019, section 3.2, with T(theta_2, I) = R_h.

    Convention: top_left and size are (y, x) in pixels, pixel centres at integers; theta as in `affine_grid`.

    Args:
      top_left: centre of the window's first pixel, pixels; may be fractional or lie outside the image.
      size: height and width of the window, pixels.
      input_hw: height and width of the image, pixels.
      align_corners: what -1 and 1 stand for.

    Returns: theta, in top_left's dtype.
    Raises: ValueError if top_left is not a floating-point (b, 2), size is not two positive numbers, or
      input_hw is not two positive integers (greater than 1 with `align_corners`).

    Example:
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import affine_grid, crop_theta
      >>> theta = crop_theta(jnp.array([[2.0, 5.0]]), (1, 2), input_hw=(8, 9))
      >>> affine_grid(theta, input_hw=(8, 9), output_hw=(1, 2))[0, 0].round(4).tolist()
      [[2.0, 5.0], [2.0, 6.0]]
    """
    top_left = jnp.asarray(top_left)
    check_array("crop_theta", "top_left", top_left, "b 2", "give a single corner as top_left[None]")
    check_shape(
        "crop_theta", "top_left", top_left, (top_left.shape[0], 2), because="(y and x for each image)",
        remedy="stack y and x on the last axis",
    )  # fmt: skip
    if not (isinstance(size, Sequence) and len(size) == 2 and all(may_exceed(length, 0) for length in size)):
        raise ValueError(f"crop_theta: size must be two positive numbers (height, width), got {size!r}")
    check_pair("crop_theta", "input_hw", input_hw, minimum=2 if align_corners else 1)

    def scale_and_shift(axis: int) -> tuple[float | Float[Array, ""], Float[Array, " b"]]:
        window, image = (as_operand(sizes[axis], top_left.dtype) for sizes in (size, input_hw))
        units = 2 * _pixels_per_unit(input_hw[axis], align_corners, top_left.dtype)
        scale = (window - 1 if align_corners else window) / units
        return scale, (2 * top_left[:, axis] + (window - image)) / units

    (scale_y, shift_y), (scale_x, shift_x) = scale_and_shift(0), scale_and_shift(1)
    zero = jnp.zeros_like(shift_x)
    row_x = jnp.stack([zero + scale_x, zero, shift_x], axis=-1)
    row_y = jnp.stack([zero, zero + scale_y, shift_y], axis=-1)
    return jnp.stack([row_x, row_y], axis=-2)


def _check(
    function: str, theta: jax.Array, input_hw: tuple[Size, Size], output_hw: tuple[Size, Size]
) -> None:
    matrices = "turn six numbers into a matrix with theta.reshape(-1, 2, 3)"
    check_array(function, "theta", theta, "b 2 3", matrices)
    check_shape(
        function, "theta", theta, (theta.shape[0], 2, 3), because="(one affine matrix for each image)",
        remedy=matrices,
    )  # fmt: skip
    check_pair(function, "input_hw", input_hw, minimum=1)
    check_pair(function, "output_hw", output_hw, minimum=1)


def _pixels_from_centre(
    size: Size, other_size: Size, align_corners: bool, dtype: DTypeLike
) -> Float[Array, " size"]:
    """A row of pixels' normalized coordinates, in pixels of another row; a single pixel is at 0."""
    units, length = _pixels_per_unit(other_size, align_corners, dtype), larger(size - align_corners, 1)
    if is_number(size, other_size):  # in float64, whatever the dtype
        return jnp.asarray((2 * np.arange(size) + 1 - size) * units / length, dtype)
    # The quotient of two numbers, which is exact for the identity: XLA may divide a row by a number as it
    # multiplies by the number's reciprocal.
    steps = 2 * jnp.arange(size, dtype=dtype) + 1 - as_operand(size, dtype)
    return steps * jnp.asarray(units / as_operand(length, dtype), dtype)


def _centre(shift: Float[Array, " *s"], size: Size, align_corners: bool) -> Float[Array, " *s"]:
    """Where the centre of a region is read, pixels: Eq. 1 with the step to pixels folded into its constants.

    So the identity stays exact.
    """
    return shift * _pixels_per_unit(size, align_corners, shift.dtype) + as_operand(size - 1, shift.dtype) / 2


def _pixels_per_unit(size: Size, align_corners: bool, dtype: DTypeLike) -> float | Float[Array, ""]:
    """Pixels between the normalized coordinates 0 and 1."""
    return as_operand(size - align_corners, dtype) / 2
