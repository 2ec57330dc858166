"""Checks of a config, all made before any work starts; every error names the key."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import ml_collections

from geoattn_jax.training.parallel import PARALLELISMS

Config = ml_collections.ConfigDict


class ConfigError(ValueError):
    """A config with a key or a value that the experiment cannot use."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be, and what it is for.

    Attributes:
      expected: what it must be, in words.
      holds: the same as a test.
      about: what it decides, on one line; `--help` prints it.
    """

    expected: str
    holds: Callable[[Any], bool]
    about: str = ""

    def saying(self, about: str) -> "Rule":
        """The rule of a value that decides this."""
        return dataclasses.replace(self, about=about)


def whole(minimum: int, maximum: int | None = None) -> Rule:
    """A whole number in a range, both ends included."""
    limit = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def holds(value: Any) -> bool:
        fits = isinstance(value, int) and not isinstance(value, bool)
        return fits and value >= minimum and (maximum is None or value <= maximum)

    return Rule(f"a whole number, {limit}", holds)


def positive() -> Rule:
    """A finite number above zero."""

    def holds(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf

    return Rule("a number above 0", holds)


def share() -> Rule:
    """A number from 0 up to, but not including, 1."""

    def holds(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1

    return Rule("a number from 0 to below 1", holds)


def one_of(choices: Collection[str]) -> Rule:
    """One of some names."""
    return Rule(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


def some_of(choices: Collection[str]) -> Rule:
    """At least one of some names, each once."""

    def holds(value: Any) -> bool:
        if not isinstance(value, list | tuple) or not value:
            return False
        return len(set(value)) == len(value) and all(name in choices for name in value)

    return Rule(f"at least one of {', '.join(choices)}, each once, such as {tuple(choices)[:1]}", holds)


def boolean() -> Rule:
    """True or False."""
    return Rule("True or False", lambda value: isinstance(value, bool))


def optional_text() -> Rule:
    """A string, or None."""
    return Rule("a string or None", lambda value: value is None or isinstance(value, str))


def folder() -> Rule:
    """The name of a folder that is there."""
    return Rule("a folder that exists", lambda value: isinstance(value, str) and Path(value).is_dir())


SUB_BATCHES = "parts in which a device takes an update, adding up their gradients; of several devices fewer"

# Of every experiment: in what dtype networks compute, in training as in evaluation. Parameters, the state of
# optimizers, statistics, losses, thetas and offsets are float32 all the same.
DTYPE: dict[str, Rule] = {
    "dtype": one_of(["float32", "bfloat16"]).saying("in which networks compute, trained as evaluated")
}

# Of every experiment: how training is done and watched, not what comes of it. `parallel` adds up gradients in
# another order, `remat` compiles another program: a run may go on under the other value, and then differs by
# rounding.
RUNNING: dict[str, Rule] = {
    "remat": boolean().saying("whether activations are computed again for the gradients, to save memory"),
    "parallel": one_of(PARALLELISMS).saying("how devices share a batch; a run may go on under the other"),
    "log_every": whole(1).saying("steps from one line of metrics to the next"),
    "checkpoint_every": whole(1).saying("steps from one checkpoint to the next"),
    "tensorboard": boolean().saying("whether metrics are written for TensorBoard, too"),
}


def running_defaults() -> dict[str, Any]:
    """A config's values of these keys."""
    return {
        "remat": False,
        "parallel": "jit",
        "log_every": 10,
        "checkpoint_every": 500,
        "tensorboard": False,
    }


def train_options(config: Config) -> dict[str, Any]:
    """What `train` is given of them; how often it writes a line of metrics is each training's matter."""
    return {
        "parallel": config.parallel,
        "checkpoint_every": config.checkpoint_every,
        "tensorboard": config.tensorboard,
    }


def check_config(config: Config, rules: Mapping[str, Rule]) -> None:
    """Checks that a config has exactly the keys that there are rules for, and that the values keep to them.

    Args:
      config: the settings; nested ones have names such as lstm.rounds.
      rules: by key.

    Raises: ConfigError naming the key, what came and what was expected.
    """
    values = flatten(config)
    unknown, missing = sorted(values.keys() - rules.keys()), sorted(rules.keys() - values.keys())
    if unknown or missing:
        raise ConfigError(
            "; ".join(
                [f"config.{key} is not a key of this experiment" for key in unknown]
                + [f"config.{key} is missing, {rules[key].expected}" for key in missing]
            )
        )
    for key, rule in rules.items():
        if not rule.holds(values[key]):
            raise ConfigError(f"config.{key} must be {rule.expected}, got {values[key]!r}")


def check_sub_batches(config: Config, group: str = "") -> None:
    """Checks that the batches of a group of settings can be split evenly.

    Args:
      config: the settings.
      group: of them, such as "pretrain"; "" for settings outside of groups.

    Raises: ConfigError naming the keys.
    """
    settings, prefix = (config[group], f"config.{group}") if group else (config, "config")
    if settings.batch_size % settings.sub_batches:
        raise ConfigError(
            f"{prefix}.sub_batches must divide {prefix}.batch_size={settings.batch_size}, "
            f"got {settings.sub_batches}"
        )


def computation(config: Config) -> dict[str, Any]:
    """How networks compute, as their modules' attributes."""
    return {"dtype": config.dtype, "remat": config.remat}


def flatten(config: Config, prefix: str = "") -> dict[str, Any]:
    """The values by their whole names, such as lstm.rounds."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Config):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def is_below(name: str, keys: Collection[str]) -> bool:
    """Whether a key is one of some keys, or below one of them."""
    return any(name == key or name.startswith(f"{key}.") for key in keys)


def restrict(config: Config, keys: Collection[str]) -> Config:
    """The part of a config that some keys, and all keys below them, make up; others raise AttributeError.

    Raises: KeyError if the config has no such key.
    """
    values = flatten(config)
    missing = [key for key in keys if not any(is_below(name, [key]) for name in values)]
    if missing:
        raise KeyError(f"the config has no {', '.join(missing)}")
    return nest({name: value for name, value in values.items() if is_below(name, keys)}).lock()


def nest(flat: Mapping[str, Any]) -> Config:
    """The config whose values have these whole names, see `flatten`."""
    nested = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        group = nested
        for one in groups:
            group = group.setdefault(one, {})
        group[last] = value
    return Config(nested)
