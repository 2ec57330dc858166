"""Checks of plain values, whose errors name the argument, what came and what was expected."""


def check_whole(owner: str, name: str, value: object, *, minimum: int, maximum: int | None = None) -> None:
    """Checks that `value` is a whole number, at least `minimum` and at most `maximum`.

    Raises: ValueError.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        limit = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"{owner}: {name} must be a whole number, {limit}, got {value!r}")
