"""From a config and a folder to results.json: what train.py and eval.py do."""

import contextlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import absl.logging
import jax
import rich.console
import rich.markdown

from geoattn_jax.data.video import WRITABLE, VideoError
from geoattn_jax.experiments.core.config import Config, ConfigError
from geoattn_jax.experiments.core.experiment import Experiment, Prepared
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.provenance import provenance
from geoattn_jax.experiments.core.results import Results, write_results
from geoattn_jax.experiments.core.resuming import completed, resume
from geoattn_jax.experiments.migration import bring_up_to_date
from geoattn_jax.experiments.registry import EXPERIMENTS, experiment_of
from geoattn_jax.files import DiskFullError
from geoattn_jax.native import kernels
from geoattn_jax.runtime import tune_cpu
from geoattn_jax.training import (
    NonFiniteError,
    WorkdirError,
    open_workdir,
    read_config,
    use_compilation_cache,
)
from geoattn_jax.training.division import DivisionError
from geoattn_jax.training.processes import (
    CoordinationError,
    OtherProcessError,
    entered_by_first,
    first_does,
    is_first,
)

# What users of the programs can mend.
_MENDABLE = (
    ConfigError,
    CoordinationError,
    DiskFullError,
    DivisionError,
    NonFiniteError,
    OtherProcessError,
    VideoError,
    WorkdirError,
)
INTERRUPTED = 128 + 2  # the exit code that shells give to Ctrl-C, that is SIGINT


@contextlib.contextmanager
def ending_in_one_line(program: str) -> Iterator[None]:
    """Ends the program with one line, instead of a traceback, for what its user can mend."""
    try:
        yield
    except _MENDABLE as error:
        message = f"{program}: {error}"
        _end_among_others(message, 1)
        sys.exit(message)
    except KeyboardInterrupt:
        message = f"\n{program}: interrupted; run the same command to go on"
        _end_among_others(message, INTERRUPTED)
        print(message, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception:
        _end_among_others(traceback.format_exc(), 1)
        raise


def _end_among_others(message: str, code: int) -> None:
    """Ends one of several processes at once: else JAX waits for the others, which wait for this one."""
    if jax.process_count() > 1:
        print(message, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare_process() -> None:
    """Sets this process up; a program calls it first, before JAX computes.

    Shows this package's own lines (with --verbosity=1 the debugging ones too), and of the libraries' the
    warnings only; on a CPU starts the program over with other settings (see `tune_cpu`); keeps compiled
    programs.
    """
    debugs = absl.logging.get_verbosity() >= absl.logging.DEBUG
    absl.logging.set_verbosity(absl.logging.WARNING)
    logger = logging.getLogger("geoattn_jax")
    logger.setLevel(logging.DEBUG if debugs else logging.INFO)
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
    if not is_first():
        logging.getLogger("geoattn_jax").setLevel(logging.WARNING)  # the first speaks for all
    first_does(lambda: bring_up_to_date(workdir), None)
    _run(experiment_of(config), config, workdir, trains=True)


def evaluate(workdir: str | os.PathLike) -> None:
    """Evaluates a finished training from its checkpoints and writes results.json and table.md anew.

    Raises: WorkdirError if the folder holds no finished training.
    """
    _run(*_recorded(workdir), workdir, trains=False)


def annotate(
    workdir: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike | None
) -> list[Path]:
    """Draws what a finished run makes of a video file into a video, and some of its frames into a picture.

    Args:
      workdir: a folder in which train.py has finished an experiment that can.
      video: the file.
      out: the file to write, ".mp4" or ".gif"; None is figures/NAME.mp4 in the workdir.

    Returns: the files that were written.
    Raises: WorkdirError if the folder holds no finished training, ConfigError if its experiment cannot or out
      is another kind of file, VideoError naming the video if it cannot be used.
    """
    experiment, config = _recorded(workdir)
    video = Path(video).absolute()
    if experiment.annotate is None:
        able = ", ".join(one.name for one in EXPERIMENTS.values() if one.annotate)
        raise ConfigError(
            f"--video needs a workdir of the experiment {able}; {workdir} is of {experiment.name}"
        )
    folder = Path(workdir).absolute()
    out = folder / "figures" / f"{video.stem}.mp4" if out is None else Path(out)
    if out.suffix not in WRITABLE or out.absolute() == video:
        raise ConfigError(f"--out must end in .mp4 or .gif and be another file than --video, got {out}")
    if not video.exists():
        raise VideoError(f"{video}: there is no such file")
    fitting = Fitting(config, folder, trains=False)
    prepared = experiment.start(config, fitting)
    with _opened(experiment, prepared, config, folder):
        fitting.check_finished(prepared.plan)
        return experiment.annotate(prepared, video, out)


def _recorded(workdir: str | os.PathLike) -> tuple[Experiment, Config]:
    """The experiment of a workdir, and the config that is in force there."""
    bring_up_to_date(workdir)
    values = read_config(workdir)
    experiment = experiment_of(Config(values))
    return experiment, completed(experiment, values)


def _opened(
    experiment: Experiment, prepared: Prepared, config: Config, workdir: str | os.PathLike
) -> AbstractContextManager[Path]:
    update = partial(resume, experiment, prepared)
    context = open_workdir(workdir, config.to_dict(), update=update)
    return entered_by_first(context, Path(workdir).absolute())


def _run(experiment: Experiment, config: Config, workdir: str | os.PathLike, *, trains: bool) -> None:
    _check_kernels()
    fitting = Fitting(config, Path(workdir).absolute(), trains)
    prepared = experiment.start(config, fitting)
    if trains and config.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError("config.tensorboard=True needs tensorboardX: pip install tensorboardX")
    with _opened(experiment, prepared, config, workdir) as folder:
        if not trains:
            fitting.check_finished(prepared.plan)
        measured = prepared.measure()
        write = partial(_write, experiment, prepared, measured, config, fitting)
        pictures = first_does(write, [])
    if is_first():
        show(folder, pictures)


def _check_kernels() -> None:
    """What names them is read when a program first needs them, or its results are written: too late."""
    try:
        kernels()
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _write(
    experiment: Experiment, prepared: Prepared, measured: Any, config: Config, fitting: Fitting
) -> list[Path]:
    """Writes the results and draws the pictures; returns the pictures' files."""
    origin = provenance(seed=config.seed, wall_seconds=fitting.seconds())
    results = Results(experiment.name, config.to_dict(), origin, prepared.rows(measured))
    write_results(fitting.workdir, results, tables=experiment.tables)
    return experiment.draw(prepared, measured)


def show(folder: Path, pictures: list[Path]) -> None:
    """Prints the table, and where everything is."""
    console = rich.console.Console()
    console.print(rich.markdown.Markdown((folder / "table.md").read_text()))
    for path in [folder / "results.json", folder / "table.md", *pictures]:
        console.print(str(path), soft_wrap=True, highlight=False)
