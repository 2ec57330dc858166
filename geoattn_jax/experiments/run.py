"""From a config and a folder to results.json: what train.py and eval.py do."""

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import absl.logging
import rich.console
import rich.markdown

from geoattn_jax.data.video import VideoError
from geoattn_jax.experiments.core.config import Config, ConfigError, one_of
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.digits.curves import draw_curves
from geoattn_jax.experiments.digits.end_to_end import EndToEnd
from geoattn_jax.experiments.digits.pictures import draw_pictures
from geoattn_jax.experiments.digits.two_stage import TwoStage
from geoattn_jax.experiments.migration import bring_up_to_date
from geoattn_jax.experiments.table_2.experiment import SupervisedAttention
from geoattn_jax.experiments.table_2.pictures import draw_regions
from geoattn_jax.experiments.table_3.experiment import SixStreams
from geoattn_jax.experiments.table_3.pictures import draw_confusions
from geoattn_jax.runtime import tune_cpu
from geoattn_jax.training import (
    NonFiniteError,
    Results,
    WorkdirError,
    open_workdir,
    provenance,
    read_config,
    use_compilation_cache,
    write_results,
)

EXPERIMENTS = {
    "two_stage": TwoStage,
    "end_to_end": EndToEnd,
    "supervised_attention": SupervisedAttention,
    "six_streams": SixStreams,
}
PICTURES = {
    "two_stage": draw_pictures,
    "end_to_end": draw_curves,
    "supervised_attention": draw_regions,
    "six_streams": draw_confusions,
}
INTERRUPTED = 128 + 2  # the exit code that shells give to Ctrl-C, that is SIGINT


@contextlib.contextmanager
def ending_in_one_line(program: str) -> Iterator[None]:
    """Ends the program with one line, instead of a traceback, for what its user can mend."""
    try:
        yield
    except (ConfigError, NonFiniteError, VideoError, WorkdirError) as error:
        sys.exit(f"{program}: {error}")
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(INTERRUPTED)


def prepare_process() -> None:
    """Sets this process up; a program calls it first, before JAX computes.

    Shows this package's own lines, and of the libraries' the warnings only; on a CPU starts the program over
    with other settings (see `tune_cpu`); keeps compiled programs.
    """
    absl.logging.set_verbosity(absl.logging.WARNING)
    logger = logging.getLogger("geoattn_jax")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    tune_cpu()
    use_compilation_cache()


def train_and_evaluate(config: Config, workdir: str | os.PathLike) -> None:
    """Trains an experiment, or what is left of it, and writes results.json, table.md and figures.

    Raises:
      ConfigError: if a key or a value of the config cannot be used; before anything is written.
      WorkdirError: if the folder is not this config's; it is left untouched.
    """
    bring_up_to_date(workdir)
    _run(config, workdir, trains=True)


def evaluate(workdir: str | os.PathLike) -> None:
    """Evaluates a finished training from its checkpoints and writes results.json and table.md anew.

    Raises: WorkdirError if the folder holds no finished training.
    """
    bring_up_to_date(workdir)
    _run(Config(read_config(workdir)), workdir, trains=False)


def _run(config: Config, workdir: str | os.PathLike, *, trains: bool) -> None:
    name = config.get("experiment")
    rule = one_of(EXPERIMENTS)
    if not rule.holds(name):
        raise ConfigError(f"config.experiment must be {rule.expected}, got {name!r}")
    experiment = EXPERIMENTS[name].prepare(config)
    if trains and config.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError("config.tensorboard=True needs tensorboardX: pip install tensorboardX")
    with open_workdir(workdir, config.to_dict()) as folder:
        fitting = Fitting(config, folder, trains)
        rows = list(experiment.rows(fitting))
        origin = provenance(seed=config.seed, wall_seconds=fitting.seconds())
        write_results(folder, Results(name, config.to_dict(), origin, rows))
        pictures = PICTURES[name](experiment, fitting)
    show(folder, pictures)


def show(folder: Path, pictures: list[Path]) -> None:
    """Prints the table, and where everything is."""
    console = rich.console.Console()
    console.print(rich.markdown.Markdown((folder / "table.md").read_text()))
    for path in [folder / "results.json", folder / "table.md", *pictures]:
        console.print(str(path), soft_wrap=True, highlight=False)
