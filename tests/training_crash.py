"""A whole small experiment in a process of its own, which can kill itself at any change to its files.

`python training_crash.py FOLDER KILL_AT` sends itself SIGKILL before the KILL_AT-th event (0: never), an
event being a batch drawn or something opened for writing, made, renamed or removed inside FOLDER. At the end
it prints {"events", "digest"}: how many there were, and the result's digest.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["JAX_PLATFORMS"] = "cpu"

import dataclasses
import json
import threading

import numpy as np
import training_problem as problem

from geoattn_jax.files import write_text
from geoattn_jax.training import cached_arrays, open_workdir, train
from geoattn_jax.training.checkpoint import digest
from geoattn_jax.training.processes import entered_by_first, first_does

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}


class Killer:
    """Counts events and kills the process before one of them."""

    def __init__(self, folder, kill_at):
        self.events = 0
        self._folder, self._kill_at, self._lock = str(folder), kill_at, threading.Lock()
        sys.addaudithook(self._hook)

    def count(self):
        with self._lock:
            self.events += 1
            if self.events == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def _hook(self, event, arguments):
        if event in CHANGES:
            changes = True
        elif event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            return
        if changes and str(arguments[0]).startswith(self._folder):
            self.count()


def experiment(folder, count):
    """Three phases, a cached stage and a results file; `count` is called with every batch."""

    def counted(phase):
        def batch(seed, step):
            count()
            return phase.batch(seed, step)

        return dataclasses.replace(phase, batch=batch, steps=3)

    with entered_by_first(open_workdir(folder, {"seed": 3}), Path(folder)) as workdir:
        trained = train(
            [counted(phase) for phase in problem.phases()],
            problem.initial_params(),
            problem.initial_model_state(),
            seed=3,
            directory=workdir / "run",
            checkpoint_every=2,
            log_every=1,
        )
        total = sum(np.asarray(leaf).sum() for leaf in trained.params["trunk"].values())
        stage = cached_arrays(workdir / "stages" / "total.npz", lambda: {"total": total})
        first_does(lambda: write_text(workdir / "results.json", f"{float(stage['total'])!r}\n"), None)
    return trained


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    killer = Killer(folder, int(sys.argv[2]))
    result = experiment(folder, killer.count)
    print(json.dumps({"events": killer.events, "digest": digest(result.params)}))
