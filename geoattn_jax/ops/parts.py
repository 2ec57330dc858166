"""Doing large work in parts."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from geoattn_jax.ops.sizes import Size, is_number

State = TypeVar("State")


def in_parts(
    add_part: Callable[[Int[Array, ""], Size, State], State],
    state: State,
    *,
    length: Size,
    bytes_each: Size,
    part_bytes: int,
) -> State:
    """Applies `add_part(start, size, state)` to consecutive parts of a row of `length` items.

    Args:
      add_part: adds the items start, ..., start + size - 1 to the state; start is traced, size is not.
      state: the state before the first part.
      length: number of items; with none the state stays as it is.
      bytes_each: how much of an intermediate result each item makes, which decides on the size of the parts.
        Where this or the length is a symbol, all items are one part.
      part_bytes: how much of it one part may make.

    Returns: the state after the last part.
    """
    if not is_number(length, bytes_each):
        return add_part(jnp.asarray(0), length, state)
    if length == 0:
        return state
    fewest = max(1, math.ceil(length * bytes_each / part_bytes))
    # Equal parts where possible: a remainder is compiled, and run, apart from the loop.
    parts = next((parts for parts in range(fewest, 2 * fewest) if length % parts == 0), fewest)
    size = math.ceil(length / parts)
    whole, rest = divmod(length, size)
    state = lax.fori_loop(0, whole, lambda part, state: add_part(part * size, size, state), state)
    return add_part(jnp.asarray(whole * size), rest, state) if rest else state
