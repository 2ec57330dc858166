"""Trains and evaluates an experiment:

  python train.py --config=configs/quickstart.py --workdir=runs/quickstart [--config.key=value ...]

Writes results.json, table.md and figures/*.png into the workdir. Run again it goes on where it stopped. It
may be given other settings then, as long as nothing that was trained depends on them. Under the other value
of config.parallel, jit or pmap, a run goes on with sums in another order, and differs by rounding. Each file
in configs/ says what to expect of it.

  python train.py --config=configs/quickstart.py --help

lists all keys, such as --config.seed=0, what they decide and what they may be.
"""

import argparse
import runpy
import sys

from absl import app, flags
from ml_collections import config_flags

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.keys import help_of_keys, unknown_key, unreadable_value
from geoattn_jax.experiments.registry import experiment_of
from geoattn_jax.experiments.run import ending_in_one_line, prepare_process, train_and_evaluate

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "A new folder, or the one to go on in.")
flags.mark_flags_as_required(["config", "workdir"])


def main(arguments: list[str]) -> None:
    """Trains as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    with ending_in_one_line("train.py"):
        prepare_process()
        train_and_evaluate(_CONFIG.value.copy_and_resolve_references(), _WORKDIR.value)


def parse_flags(arguments: list[str]) -> list[str]:
    """Parses the flags. config_flags lets out what the file raises, and what ConfigDict does for its keys."""
    if "--help" in arguments and (file := _file(arguments)):
        config = _read(file)
        print(
            f"{__doc__}\nThe keys of {file}:\n\n{help_of_keys(config, experiment_of(config).rules(config))}"
        )
        sys.exit()
    try:
        remaining = flags.FLAGS(arguments)
        _CONFIG.value.copy_and_resolve_references()
        return remaining
    except (
        AttributeError, ImportError, KeyError, OSError, SyntaxError, TypeError, ValueError, flags.Error
    ) as error:  # fmt: skip
        sys.exit(f"train.py: {_of_config(arguments) or f'{error.args[0]}; see train.py --help'}")


def _of_config(arguments: list[str]) -> str | None:
    """What is wrong with the flags of the config's keys, if that is it."""
    if not (file := _file(arguments)):
        return None
    config = _read(file)
    return unknown_key(config, arguments) or unreadable_value(
        config, experiment_of(config).rules(config), arguments
    )


def _file(arguments: list[str]) -> str:
    """The one that --config names."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default="")
    return parser.parse_known_args(arguments)[0].config


def _read(file: str) -> Config:
    """The config that a file gives, without the other flags."""
    try:
        return runpy.run_path(file)["get_config"]()
    except Exception as error:
        reason = str(error).splitlines()[-1].strip()
        sys.exit(
            f"train.py: --config={file} cannot be read ({reason}); give a file in configs/, or one like them"
        )


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
