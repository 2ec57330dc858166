"""What lies outside an image."""

from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.ops.sizes import Size, as_operand

PaddingMode = Literal["zeros", "border", "reflection"]
ReflectAt = Literal["edge", "centre"]  # of the outermost pixels

Coordinate: TypeAlias = Float[Array, " n"]


class Padded(NamedTuple):
    """Where coordinates are read along an axis.

    Attributes:
      coordinate: where.
      moves: whether that moves as the coordinate does.
      way: whether the same way, 1, or the other, -1.
    """

    coordinate: Coordinate
    moves: bool | Bool[Array, " n"] = True
    way: int | Int[Array, " n"] = 1


def padded(coordinate: Coordinate, size: Size, mode: PaddingMode, reflect_at: ReflectAt) -> Padded:
    """Where coordinates are read along an axis of `size` pixels.

    With "zeros" where they lie, with "border" at the nearest pixel, with "reflection" where they lie in the
    image's mirror images, of which the one infinitely far away is nowhere: NaN.
    """
    if mode == "zeros":
        return Padded(coordinate)
    if mode == "border":
        return Padded(*_clipped(coordinate, size))
    mirrored, way = _mirrored(coordinate, size, reflect_at)
    # A mirror at the edge leaves what lies between there and the centre of the outermost pixel.
    return Padded(*_clipped(mirrored, size), way)


def _clipped(coordinate: Coordinate, size: Size) -> tuple[Coordinate, Bool[Array, " n"]]:
    last = as_operand(size - 1, coordinate.dtype)
    # Not clipped, whose derivative at a bound is a half.
    inside = jnp.where(coordinate < 0, 0, jnp.where(coordinate >= last, last, coordinate))
    return inside, (coordinate >= 0) & (coordinate < last)


def _mirrored(
    coordinate: Coordinate, size: Size, reflect_at: ReflectAt
) -> tuple[Coordinate, Int[Array, " n"]]:
    at_edge = reflect_at == "edge"
    first = -0.5 if at_edge else 0
    span = jnp.asarray(as_operand(size if at_edge else size - 1, coordinate.dtype), coordinate.dtype)
    # Between the centre of a lone pixel and itself: all its images are that pixel.
    span = jnp.maximum(span, jnp.finfo(span.dtype).tiny)
    turns = jnp.floor((coordinate - first) / span)
    rest = coordinate - first - turns * span
    forwards = turns % 2 == 0
    return first + jnp.where(forwards, rest, span - rest), jnp.where(forwards, 1, -1)
