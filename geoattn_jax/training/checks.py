"""Checks of plain values, whose errors name the argument, what came and what was expected."""


def check_whole(owner: str, name: str, value: object, *, minimum: int) -> None:
    """Checks that `value` is a whole number, at least `minimum`.

    Raises: ValueError.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{owner}: {name} must be a whole number, at least {minimum}, got {value!r}")
