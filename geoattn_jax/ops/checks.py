"""Argument checks whose errors name the argument, what came, what was expected and what to do."""

from collections.abc import Collection, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.ops.sizes import Size, is_size, surely_less


def check_array(
    function: str,
    name: str,
    array: jax.Array | np.ndarray,
    axes: str,
    remedy: str = "add or remove axes (a single item needs a leading batch axis of 1)",
) -> None:
    """Checks that `array` is floating point with the axes named in `axes`.

    Args:
      function: the public function that was called.
      name: the argument.
      array: what came.
      axes: the expected axes, one word each; a last or middle `*name` stands for any number of axes.
      remedy: what to do about another number of axes.

    Raises: ValueError if the rank or the dtype is another.
    """
    words = axes.split()
    variadic = any(word.startswith("*") for word in words)
    rank_fits = array.ndim >= len(words) - 1 if variadic else array.ndim == len(words)
    expected = f"({', '.join(words)})"
    if not rank_fits:
        raise ValueError(f"{function}: {name} must have axes {expected}, got shape {array.shape}; {remedy}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{function}: {name} must be floating point, got {array.dtype}; "
            f"convert it first, for example {name}.astype(jnp.float32)"
        )


def check_shape(
    function: str,
    name: str,
    array: jax.Array | np.ndarray,
    expected: Sequence[Size],
    because: str,
    remedy: str,
) -> None:
    """Checks that `array` has exactly the shape `expected`, which follows from `because`.

    Raises: ValueError naming both shapes, the reason and the remedy.
    """
    if array.shape != tuple(expected):
        raise ValueError(
            f"{function}: {name} must have shape {tuple(expected)} {because}, got {array.shape}; {remedy}"
        )


def check_choice(function: str, name: str, value: str, choices: Collection[str]) -> None:
    """Checks that `value` is one of `choices`.

    Raises: ValueError listing the choices.
    """
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{function}: {name} must be one of {listed}, got {value!r}")


def check_pair(function: str, name: str, pair: Sequence[Size], *, minimum: int) -> None:
    """Checks that `pair` holds two whole numbers (for y and x), each at least `minimum`.

    Raises: ValueError showing what came.
    """
    check_steps(function, name, pair, ("y", "x"), minimum=minimum)


def check_steps(
    function: str, name: str, steps: Sequence[Size], axes: Sequence[str], *, minimum: int
) -> None:
    """Checks that `steps` holds a whole number for each axis, each at least `minimum`.

    Raises: ValueError showing what came.
    """
    fits = (
        isinstance(steps, Sequence)
        and len(steps) == len(axes)
        and all(is_size(size) and not surely_less(size, minimum) for size in steps)
    )
    if not fits:
        count = {2: "two", 3: "three"}[len(axes)]
        raise ValueError(
            f"{function}: {name} must be {count} whole numbers ({', '.join(axes)}), each at least {minimum}, "
            f"got {steps!r}"
        )
