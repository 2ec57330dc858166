"""Checks of plain values, whose errors name the argument, what came and what was expected."""

import math


def check_whole(owner: str, name: str, value: object, *, minimum: int, maximum: int | None = None) -> None:
    """Checks that `value` is a whole number, at least `minimum` and at most `maximum`.

    Raises: ValueError.
    """
    highest = math.inf if maximum is None else maximum
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= highest:
        limit = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"{owner}: {name} must be a whole number, {limit}, got {value!r}")
