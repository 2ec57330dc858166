"""Evaluates a finished training from its checkpoints, and writes its results anew:

python eval.py --workdir=runs/quickstart
"""

import sys

from absl import app, flags

from geoattn_jax.experiments.config import ConfigError
from geoattn_jax.experiments.run import evaluate, prepare_process
from geoattn_jax.training import WorkdirError

_WORKDIR = flags.DEFINE_string("workdir", None, "A folder in which train.py has finished.", required=True)


def main(arguments: list[str]) -> None:
    """Evaluates as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    prepare_process()
    try:
        evaluate(_WORKDIR.value)
    except (ConfigError, WorkdirError) as error:
        sys.exit(f"eval.py: {error}")


if __name__ == "__main__":
    app.run(main)
