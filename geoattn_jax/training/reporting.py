"""Where a run's numbers go: the metrics file, TensorBoard and the progress shown to the user."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoattn_jax.training.metrics import MetricsFile
from geoattn_jax.training.phase import Phase
from geoattn_jax.training.progress import Progress


class Reporter:
    """Reports the steps of a run.

    Args:
      log_every: a line of metrics is written after every so many steps of a phase and after its last.
      folder: the run's folder; None writes no files.
      step: the step of the run at which it goes on; what was reported of later ones is dropped.
      lines: how many lines of metrics there must be up to that step; None if that is not known.
      tensorboard: whether to write TensorBoard's files, too.
      shows: whether progress is shown.
    """

    def __init__(
        self,
        *,
        log_every: int,
        folder: Path | None,
        step: int,
        lines: int | None,
        tensorboard: bool,
        shows: bool = True,
    ):
        self._log_every = log_every
        self._file = self._summary = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = MetricsFile(folder / "metrics.jsonl", until=step, lines=lines)
            if tensorboard:
                self._summary = _summary_writer(folder / "tensorboard", step)
        self._began = time.monotonic() - (self._file.seconds if self._file else 0.0)
        self._progress = Progress(shows=shows)

    def start_phase(self, phase: Phase, *, done: int) -> None:
        """Announces a phase of which `done` steps are done already."""
        self._progress.start(phase.name, done=done, steps=phase.steps, metric=phase.shown)

    def report(self, phase: Phase, *, step: int, phase_step: int, metrics: Mapping[str, float]) -> None:
        """Reports one step; counts are of steps done, in the run and in the phase."""
        self._progress.update(phase_step, metrics[phase.shown])
        if self._file is None or not self._is_logged(phase, phase_step):
            return
        numbers = {"loss": metrics["loss"], **metrics}  # the loss first
        seconds = round(time.monotonic() - self._began, 3)
        self._file.write(
            {"step": step, "phase": phase.name, "phase_step": phase_step, **numbers, "seconds": seconds}
        )
        if self._summary is not None:
            for name, value in numbers.items():
                self._summary.add_scalar(f"{phase.name}/{name}", value, step)

    def sync(self) -> int:
        """Makes what was reported outlive a power failure; returns how many lines of metrics that are."""
        if self._file is None:
            return 0
        self._file.sync()
        return self._file.lines

    def close(self) -> None:
        """Ends the reporting."""
        self._progress.close()
        if self._summary is not None:
            self._summary.close()
        if self._file is not None:
            self._file.close()

    def _is_logged(self, phase: Phase, phase_step: int) -> bool:
        regular = phase_step % self._log_every == 0 or phase_step == phase.steps
        return regular or phase.evaluates_after(phase_step)


def _summary_writer(folder: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard=True needs tensorboardX: pip install tensorboardX") from error
    return SummaryWriter(str(folder), purge_step=step + 1)
