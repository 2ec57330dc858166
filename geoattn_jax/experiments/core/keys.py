"""What a config's keys are for, and what is wrong with flags such as --config.lstm.round=3 for them."""

import argparse
import difflib
from collections.abc import Iterator, Mapping, Sequence

from geoattn_jax.experiments.core.config import Config, Rule, flatten

PREFIX = "--config."


def config_file(arguments: Sequence[str]) -> str:
    """The file that --config names; "" if none."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default="")
    return parser.parse_known_args(arguments)[0].config


def wrong_flag(config: Config, rules: Mapping[str, Rule], arguments: Sequence[str]) -> str | None:
    """One line about the first flag that cannot be one of a config's keys; None if that is none of them.

    Args:
      config: as its file gives it.
      rules: of its keys.
      arguments: of the program.
    """
    return unknown_key(config, arguments) or unreadable_value(config, rules, arguments)


def unknown_key(config: Config, arguments: Sequence[str]) -> str | None:
    """One line about the first flag that names a key which the config does not have; None if there is none.

    It names the nearest right key, and the keys of the deepest group that the flag got right.

    Args:
      config: as its file gives it.
      arguments: of the program.
    """
    for argument in arguments:
        key = argument.removeprefix(PREFIX).partition("=")[0]
        if not argument.startswith(PREFIX) or key in set(_keys(config)):
            continue
        group, name = _deepest_group(config, key)
        nearest = difflib.get_close_matches(key, list(_keys(config)), n=1)
        hint = f" Did you mean config.{nearest[0]}?" if nearest else ""
        return f"the config has no key {key!r}.{hint} The keys of {name} are {', '.join(sorted(group))}"
    return None


def unreadable_value(config: Config, rules: Mapping[str, Rule], arguments: Sequence[str]) -> str | None:
    """One line about the first flag whose value is not of its key's type; None if there is none.

    Args:
      config: as its file gives it.
      rules: of its keys.
      arguments: of the program, each with a key of the config.
    """
    types = {key: type(value) for key, value in flatten(config).items()}
    for argument in arguments:
        key, _, value = argument.removeprefix(PREFIX).partition("=")
        if argument.startswith(PREFIX) and types.get(key) in (int, float):
            try:
                types[key](value)
            except ValueError:
                return f"config.{key} must be {rules[key].expected}, got {value!r}"
    return None


def help_of_keys(config: Config, rules: Mapping[str, Rule]) -> str:
    """A line for each key: its value, what it may be, what it decides."""
    return "\n".join(
        f"  {PREFIX}{key}={value!r}\n      {rules[key].about} ({rules[key].expected})"
        for key, value in flatten(config).items()
    )


def _keys(config: Config, prefix: str = "") -> Iterator[str]:
    """All keys, those of groups too, since a group can be given as a whole."""
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, Config):
            yield from _keys(value, f"{prefix}{name}.")


def _deepest_group(config: Config, key: str) -> tuple[Config, str]:
    group, name = config, "config"
    for part in key.split(".")[:-1]:
        if not isinstance(group.get(part), Config):
            break
        group, name = group[part], f"{name}.{part}"
    return group, name
