"""Trains and evaluates an experiment:

  python train.py --config=configs/quickstart.py --workdir=runs/quickstart [--config.key=value ...]

Writes results.json, table.md and figures/*.png into the workdir. Run again it goes on where it stopped. It
may be given other settings then, as long as nothing that was trained depends on them. Each file in configs/
says what to expect of it.

  python train.py --config=configs/quickstart.py --help

lists all keys, such as --config.seed=0, what they decide and what they may be. All devices are used. Several
processes share the work if all are started with --coordinator=HOST:PORT --num_processes=N --process_id=I; on
a TPU pod, under SLURM, Open MPI and Kubernetes they find each other.
"""

import runpy
import sys

from absl import app, flags
from ml_collections import config_flags

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.keys import config_file, help_of_keys, wrong_flag
from geoattn_jax.experiments.registry import experiment_of
from geoattn_jax.experiments.run import ending_in_one_line, prepare_process, train_and_evaluate
from geoattn_jax.training.processes import join

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "A new folder, or the one to go on in.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of the first of several processes.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many there are.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")
flags.mark_flags_as_required(["config", "workdir"])


def main(arguments: list[str]) -> None:
    """Trains as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    with ending_in_one_line("train.py"):
        prepare_process()
        join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
        train_and_evaluate(_CONFIG.value.copy_and_resolve_references(), _WORKDIR.value)


def parse_flags(arguments: list[str]) -> list[str]:
    """Parses the flags. config_flags lets out what the file raises, and what ConfigDict does for its keys."""
    if "--help" in arguments and (file := config_file(arguments)):
        config = _read(file)
        print(
            f"{__doc__}\nThe keys of {file}:\n\n{help_of_keys(config, experiment_of(config).rules(config))}"
        )
        sys.exit()
    try:
        remaining = flags.FLAGS(arguments)
        _CONFIG.value.copy_and_resolve_references()
        return remaining
    except Exception as error:
        reason = None
        if file := config_file(arguments):
            config = _read(file)
            reason = wrong_flag(config, experiment_of(config).rules(config), arguments)
        sys.exit(f"train.py: {reason or f'{error}; see train.py --help'}")


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
