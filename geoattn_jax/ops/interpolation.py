"""Which pixels a position is read from, and with which weights.

A position is read from its *cell*. For bilinear interpolation these are the pixels less than a pixel away
from it along every axis (at most four in an image), and the pixel behind it where it lies on a pixel exactly;
for the nearest pixel it is that one; for bicubic interpolation the pixels up to two away along every axis.
The pixels that are looked up are always inside the image: where the image ends, `reads` says which of them
are no part of the cell. These count as zeros, whatever their value: a weight of zero would not do, as zero
times NaN is NaN.
"""

import itertools
import operator
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.ops.padding import Coordinate, PaddingMode, ReflectAt, padded
from geoattn_jax.ops.precision import widen
from geoattn_jax.ops.sizes import Size, as_operand, larger, surely_less

Method = Literal["nearest", "bilinear", "bicubic"]
Corner: TypeAlias = tuple[int, ...]  # which pixel of a cell, counted along each axis

_MANY_CHANNELS = 8  # fill a vector of the processor
_KEYS_A = -0.75  # of Keys 1981, as in torch and OpenCV


class Reading(NamedTuple):
    """How positions are read."""

    method: Method = "bilinear"
    padding_mode: PaddingMode = "zeros"
    reflect_at: ReflectAt = "edge"


class Axis(NamedTuple):
    """Along one axis, the neighbouring pixels that are looked up for a coordinate, in this order.

    The cell of a NaN coordinate is empty.
    """

    pixels: list[Int[Array, " n"]]  # their indices
    reads: list[Bool[Array, " n"]]  # whether they belong to the coordinate's cell
    blends: list[Float[Array, " n"]]  # their weights, NaN if the coordinate is
    weights: list[Float[Array, " n"]]  # their weights, zero for what is not read
    slopes: list[Float[Array, " n"]]  # derivatives of the weights


class Cells(NamedTuple):
    """The cells of some positions."""

    axes: tuple[Axis, ...]

    @property
    def corners(self) -> list[Corner]:
        """The pixels of every cell, row by row."""
        return list(itertools.product(*(range(len(axis.pixels)) for axis in self.axes)))

    def blend(self, corner: Corner) -> Float[Array, " n"]:
        """The weight of a corner, NaN where a coordinate is."""
        return _product(axis.blends[step] for axis, step in self._steps(corner))

    def weight(self, corner: Corner) -> Float[Array, " n"]:
        """The weight of a corner, zero where it is not read."""
        return _product(axis.weights[step] for axis, step in self._steps(corner))

    def slopes(self, corner: Corner, dtype: DTypeLike) -> list[Float[Array, " n"]]:
        """The derivatives of a corner's weight along each axis."""
        return [
            _product(
                (axis.slopes if axis is along else axis.weights)[step] for axis, step in self._steps(corner)
            ).astype(dtype)
            for along in self.axes
        ]

    def reads(self, corner: Corner) -> Bool[Array, " n"]:
        """Whether cells have this corner."""
        return reduce(operator.and_, (axis.reads[step] for axis, step in self._steps(corner)))

    def where_read(self, corner: Corner, values: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """`values` where a cell has this corner, else zeros."""
        keep, channels = self.reads(corner)[:, None], values.shape[-1]
        if channels >= _MANY_CHANNELS:
            return jnp.where(keep, values, 0)
        # XLA on a CPU makes a branch of a condition that all channels share. It then vectorizes over
        # positions no more, which it does where channels are few. So let each channel compare for itself.
        return jnp.where(jnp.arange(channels) < jnp.where(keep, channels, 0), values, 0)

    def _steps(self, corner: Corner) -> Iterable[tuple[Axis, int]]:
        return zip(self.axes, corner, strict=True)


def _product(factors: Iterable[Float[Array, " n"]]) -> Float[Array, " n"]:
    return reduce(operator.mul, factors)


def cells_of(positions: Float[Array, "n d"], sizes: Sequence[Size], reading: Reading) -> Cells:
    """The cells of positions in an image of these sizes."""
    neighbours = {"nearest": _nearest, "bilinear": neighbours_of, "bicubic": _within_two}[reading.method]
    return Cells(
        tuple(neighbours(widen(positions[:, axis]), size, reading) for axis, size in enumerate(sizes))
    )


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


def neighbours_of(coordinate: Coordinate, size: Size, reading: Reading) -> Axis:
    """The two neighbours of coordinates, of float32 or wider, along an axis of `size` pixels."""
    coordinate, moves, way = padded(coordinate, size, reading.padding_mode, reading.reflect_at)
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
    blends = [hat(distance) for distance in distances]
    slopes = [way * _hat_slope(distance) for distance in distances]
    slopes = [slope.astype(dtype) for slope in _where([moves & near for near in reads], slopes)]
    return Axis(pixels, reads, blends, weights=_where(reads, blends), slopes=slopes)


def _where(reads: list[Bool[Array, " n"]], values: list[Array]) -> list[Array]:
    return [jnp.where(is_read, value, 0) for is_read, value in zip(reads, values, strict=True)]


def _nearest(coordinate: Coordinate, size: Size, reading: Reading) -> Axis:
    """The nearest pixel; halfway between two it is the even one."""
    coordinate = padded(coordinate, size, reading.padding_mode, reading.reflect_at).coordinate
    nearest = jnp.round(coordinate)
    inside = (nearest >= 0) & (nearest <= as_operand(size - 1, coordinate.dtype))
    weight = jnp.ones_like(coordinate)
    return Axis(
        [jnp.where(inside, nearest, 0).astype(jnp.int32)],
        [inside],
        blends=[jnp.where(jnp.isnan(coordinate), jnp.nan, weight)],
        weights=[jnp.where(inside, weight, 0)],
        slopes=[jnp.zeros_like(coordinate)],
    )


def _within_two(coordinate: Coordinate, size: Size, reading: Reading) -> Axis:
    """The four pixels less than two away. What is padded is not the coordinate, but the place of each."""
    last = as_operand(size - 1, coordinate.dtype)
    before = jnp.floor(coordinate)
    # Infinitely far away all pixels are alike, or nowhere.
    endless = jnp.isinf(coordinate) & (reading.padding_mode != "reflection")
    fraction = jnp.where(endless, 0, coordinate - jnp.where(endless, 0, before))
    blends, slopes = jax.jvp(_keys, (fraction,), (jnp.ones_like(fraction),))
    pixels, reads = [], []
    for step in (-1, 0, 1, 2):
        place = padded(before + step, size, reading.padding_mode, reading.reflect_at).coordinate
        inside = (place >= 0) & (place <= last)
        pixels.append(jnp.where(inside, place, 0).astype(jnp.int32))
        reads.append(inside)
    return Axis(pixels, reads, blends, weights=_where(reads, blends), slopes=_where(reads, slopes))


def _keys(fraction: Float[Array, " n"]) -> list[Float[Array, " n"]]:
    """The weights of the four pixels around, Keys 1981, Eq. 4, this far behind the second of them."""
    a = _KEYS_A

    def within_one(distance):
        return ((a + 2) * distance - (a + 3)) * distance**2 + 1

    def beyond_one(distance):
        return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a

    return [
        beyond_one(fraction + 1),
        within_one(fraction),
        within_one(1 - fraction),
        beyond_one(2 - fraction),
    ]
