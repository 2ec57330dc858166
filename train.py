"""Trains and evaluates an experiment:

  python train.py --config=configs/quickstart.py --workdir=runs/quickstart [--config.key=value ...]

Writes results.json, table.md and figures/*.png into the workdir. Run again with the same arguments it goes on
where it stopped. Each file in configs/ says what to expect of it.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from geoattn_jax.experiments.config import ConfigError
from geoattn_jax.experiments.run import prepare_process, train_and_evaluate
from geoattn_jax.training import NonFiniteError, WorkdirError

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "A new folder, or this config's own to go on.")
flags.mark_flags_as_required(["config", "workdir"])


def main(arguments: list[str]) -> None:
    """Trains as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    try:
        config = _CONFIG.value.copy_and_resolve_references()
    except OSError as error:
        sys.exit(f"train.py: --config cannot be read: {error}")
    prepare_process()
    try:
        train_and_evaluate(config, _WORKDIR.value)
    except (ConfigError, NonFiniteError, WorkdirError) as error:
        sys.exit(f"train.py: {error}")


def parse_flags(arguments: list[str]) -> list[str]:
    """Parses the flags; config_flags raises what ConfigDict does, for a key that the config does not have."""
    try:
        return app.parse_flags_with_usage(arguments)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        sys.exit(f"train.py: a flag cannot be used: {error}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
