"""Which pixels a position is read from, and with which weights.

A position is read from its *cell*, the (at most four) pixels less than a pixel away from it, and the pixel
behind it where it lies on a pixel exactly. The pixels that are looked up are always inside the image: where
the image ends, `reads` says which of them are no part of the cell. These count as zeros, whatever their
value: a weight of zero would not do, as zero times NaN is NaN.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.ops.padding import PaddingMode, padded
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.sizes import Size, as_operand, larger, surely_less

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (dy, dx) of a cell's pixels
_MANY_CHANNELS = 8  # fill a vector of the processor


class Axis(NamedTuple):
    """Along one axis, the two neighbouring pixels that are looked up for a coordinate, in this order.

    The cell of a NaN coordinate is empty.
    """

    pixels: list[Int[Array, " n"]]  # their indices
    distances: list[Float[Array, " n"]]  # from them to the coordinate, NaN if that is
    reads: list[Bool[Array, " n"]]  # whether they belong to the coordinate's cell
    weights: list[Float[Array, " n"]]
    slopes: list[Float[Array, " n"]]  # derivatives of the weights


class Cells(NamedTuple):
    """The cells of some positions."""

    y: Axis
    x: Axis

    def slopes(self, dy: int, dx: int, dtype: DTypeLike) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """The derivatives of a corner's weight in y and x."""
        along_y = self.y.slopes[dy] * self.x.weights[dx]
        along_x = self.y.weights[dy] * self.x.slopes[dx]
        return along_y.astype(dtype), along_x.astype(dtype)

    def where_read(self, dy: int, dx: int, values: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """`values` where a cell has this corner, else zeros."""
        keep, channels = (self.y.reads[dy] & self.x.reads[dx])[:, None], values.shape[-1]
        if channels >= _MANY_CHANNELS:
            return jnp.where(keep, values, 0)
        # XLA on a CPU makes a branch of a condition that all channels share. It then vectorizes over
        # positions no more, which it does where channels are few. So let each channel compare for itself.
        return jnp.where(jnp.arange(channels) < jnp.where(keep, channels, 0), values, 0)


@jax.custom_jvp
def hat(distance: Float[Array, " n"]) -> Float[Array, " n"]:
    """How much a pixel counts at this distance, NaN if that is; with the derivative on the right."""
    return jnp.maximum(1 - jnp.abs(distance), 0)


@hat.defjvp
def _hat_jvp(primals, tangents):
    (distance,), (tangent,) = primals, tangents
    in_reach = (distance >= -1) & (distance < 1)
    return hat(distance), jnp.where(in_reach, _hat_slope(distance), 0).astype(tangent.dtype) * tangent


def _hat_slope(distance: Float[Array, " n"]) -> Int[Array, " n"]:
    return jnp.where(distance < 0, 1, -1)


def cells_of(positions: Float[Array, "n 2"], hw: tuple[Size, Size], padding_mode: PaddingMode) -> Cells:
    """The cells of positions in an image of this size."""
    return Cells(*(neighbours_of(positions[:, axis], hw[axis], padding_mode) for axis in (0, 1)))


def neighbours_of(coordinate: Float[Array, " n"], size: Size, padding_mode: PaddingMode) -> Axis:
    """The neighbours of coordinates along an axis of `size` pixels."""
    coordinate, moves = padded(widen(coordinate), size, padding_mode)
    dtype = coordinate.dtype
    # Bounded before it becomes an integer; a NaN compares false.
    last_but_one = as_operand(larger(size - 2, 0), dtype)
    first = jnp.where(coordinate > 0, jnp.minimum(jnp.floor(coordinate), last_but_one), 0)
    distances = [coordinate - first, coordinate - first - 1]
    pixels = [first.astype(jnp.int32), first.astype(jnp.int32) + 1]
    reads = [(distance >= -1) & (distance < 1) for distance in distances]
    if not surely_less(1, size):  # a lone pixel has no neighbour
        pixels[1] = jnp.minimum(pixels[1], as_operand(size - 1, jnp.int32))
        reads[1] &= as_operand(size, jnp.int32) > 1
    pairs = list(zip(distances, reads, strict=True))
    return Axis(
        pixels,
        distances,
        reads,
        weights=[jnp.where(near, hat(distance), 0) for distance, near in pairs],
        slopes=[jnp.where(moves & near, _hat_slope(distance), 0).astype(dtype) for distance, near in pairs],
    )
