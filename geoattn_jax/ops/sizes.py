"""Sizes of arrays, which are numbers or, while a program is exported, symbols that stand for numbers.

A symbol cannot be asked what Python asks of a number: whether it is less than another may not be decided.
"""

from numbers import Integral
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import export
from jax.extend.core import InconclusiveDimensionOperation
from jax.typing import DTypeLike

Size: TypeAlias = Any  # a whole number, or a symbol for one, of which JAX has no public type


def is_number(*sizes: Any) -> bool:
    """Whether all sizes are whole numbers, and none of them a symbol."""
    return all(isinstance(size, Integral) for size in sizes)


def is_size(value: Any) -> bool:
    """Whether `value` is a whole number, or a symbol for one."""
    return is_number(value) or export.is_symbolic_dim(value)


def surely_less(a: Size, b: Size) -> bool:
    """Whether a < b, whatever the symbols in them stand for."""
    try:
        return bool(a < b)
    except InconclusiveDimensionOperation:
        return False


def may_exceed(a: Size, b: Size) -> bool:
    """Whether a > b, or could be, depending on what the symbols in them stand for."""
    try:
        return bool(a > b)
    except InconclusiveDimensionOperation:
        return True


def as_operand(size: Size, dtype: DTypeLike) -> Size:
    """The size for arithmetic with arrays of a dtype: a number as it is, a symbol as an array."""
    return size if not export.is_symbolic_dim(size) else jnp.asarray(size, dtype)


def larger(a: Size, b: Size) -> Size:
    """The larger of two sizes."""
    return jax.core.max_dim(a, b)
