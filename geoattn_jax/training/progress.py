"""Shows how far a run is: a bar on a terminal, a line now and then elsewhere."""

import time

import rich.console
import rich.progress

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Progress on the standard error stream, through the phases of a run.

    Args:
      shows: False shows nothing: of several processes one speaks for all.
    """

    def __init__(self, *, shows: bool = True):
        self._shows = shows
        self._console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[metric]}"),
            rich.progress.TimeRemainingColumn(),
            console=self._console,
            disable=not (shows and self._console.is_terminal),
        )
        self._next_line = 0.0
        self._bar.start()

    def start(self, phase: str, *, done: int, steps: int, metric: str) -> None:
        """Begins a phase of which `done` steps are done already; `metric` is what `update` will be given."""
        self._phase, self._steps, self._metric = phase, steps, metric
        self._task = self._bar.add_task(phase, completed=done, total=steps, metric="")
        self._print(f"{phase}: {done}/{steps} steps done")

    def update(self, done: int, value: float) -> None:
        """Shows that `done` steps of the phase are done, with the last one's value of the metric."""
        metric = f"{self._metric.replace('_', ' ')} {value:.4g}"
        self._bar.update(self._task, completed=done, metric=metric)
        if done == self._steps or time.monotonic() >= self._next_line:
            self._print(f"{self._phase}: {done}/{self._steps} steps, {metric}")

    def close(self) -> None:
        """Leaves the bars as they are."""
        self._bar.stop()

    def _print(self, line: str) -> None:
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        if self._shows and not self._console.is_terminal:
            self._console.print(line, markup=False)
