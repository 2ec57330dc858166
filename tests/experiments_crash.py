"""train.py killed with SIGKILL again and again, in forks of a process that has imported everything already.

`python experiments_crash.py FOLDER` trains in FOLDER/whole without a stop, then in FOLDER/killed with kills
in every stage, at moments drawn from those that the first run went through. It moves the results to
FOLDER/trained.json and has eval.py evaluate the checkpoints. Then both go on under other settings, in
FOLDER/killed with kills while the change is accepted. It prints {"kills"}: the moments of the first part.

A moment is (stage, unit, change): the unit of work that was done last, a line of metrics or a video, and how
many changes to the stage's files followed it. Moments only grow, also from one run to the next that goes on
where it was killed.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(sys.argv[1]) / "compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"  # compiling takes longer than running
os.environ["GEOATTN_JAX_TUNED"] = "1"  # a fork must not start this program over

import io
import json
import random
import re
import runpy
import shutil
import signal
import threading
import traceback

import experiments_tiny as tiny
import sklearn.datasets  # noqa: F401  slow to import, and needed by every run

import geoattn_jax.experiments.registry
import geoattn_jax.experiments.run  # noqa: F401  likewise
from geoattn_jax.experiments.digits import pretraining, two_stage
from geoattn_jax.training.metrics import MetricsFile

ROOT = Path(__file__).parents[1]
SETTINGS = tiny.TWO_STEPS | {
    "models": ("lenet",),
    "conditions": ("normal",),
    "pretrain.steps.lenet": 8,
    "lstm.epochs": 4,
    "log_every": 1,
    "checkpoint_every": 2,
}
CHANGED_KILLS = (
    2,
    3,
    4,
    5,
    6,
    8,
    12,
    40,
)  # after so many moments: features are deleted, the claim is written
CHANGED = {"video.frames_per_setting": 2, "log_every": 3, "checkpoint_every": 3}
STAGES = {  # in order, with the files in the workdir that each one changes
    "claim": r"\.|\.?geoattn_jax\.json.*",
    "pretraining": r"lenet|lenet/pretrain.*",
    "features": r"lenet/normal|lenet/normal/[^/]*npz.*",
    "rounds": r"lenet/normal/lstm.*",
    "results": r".*",
}
# How many in each stage: between units of work, in the midst of files.
KILLS = {"pretraining": (2, 3), "features": (2, 3), "rounds": (2, 3), "results": (0, 2)}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}


class Clock:
    """Follows a run and kills it at a moment or the first one after it, or after so many moments."""

    def __init__(self, workdir, kill_at):
        self.moments = [(0, 0, 0)]
        self._workdir, self._kill_at, self._lock = str(workdir), kill_at, threading.Lock()
        sys.addaudithook(self._hook)

    def unit(self, stage, number):
        """A unit of work of a stage is done."""
        with self._lock:
            self._reach((list(STAGES).index(stage), number, 0))

    def change(self, path):
        """A file or folder is about to change, or has been written to."""
        if path.startswith(self._workdir):
            name = os.path.relpath(path, self._workdir)
            now = next(number for number, files in enumerate(STAGES.values()) if re.fullmatch(files, name))
            with self._lock:
                stage, unit, change = self.moments[-1]
                self._reach((now, unit, change + 1) if now == stage else (now, 0, 1))

    def _hook(self, event, arguments):
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            changes = event in CHANGES
        if changes:
            self.change(str(arguments[0]))

    def _reach(self, moment):
        self.moments.append(moment)
        now = len(self.moments) if isinstance(self._kill_at, int) else moment
        if self._kill_at is not None and now >= self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(clock):
    """Tells the clock of every line of metrics, every video and every part of a file that was written."""
    write, render, open_path = MetricsFile.write, two_stage.render_videos, Path.open

    class WatchedFile(io.FileIO):
        def write(self, content):
            written = super().write(content)
            clock.change(str(self.name))
            return written

    def watched_open(path, mode="r", *arguments, **options):
        if mode in ("wb", "ab"):
            return WatchedFile(path, mode)
        return open_path(path, mode, *arguments, **options)

    def watched_write(file, row):
        write(file, row)
        clock.unit("rounds" if "LSTM" in row["phase"] else "pretraining", row["step"])

    def watched_render(video, pool, seed, indices):
        videos = render(video, pool, seed, indices)
        clock.unit("features", len(video.classes) * (video.split == "test") + int(indices[0]) + 1)
        return videos

    MetricsFile.write, two_stage.render_videos, Path.open = watched_write, watched_render, watched_open


def run(program, workdir, *flags, kill_at=None):
    """Runs a program in a fork until it ends or is killed; returns its exit code and its moments."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        clock = Clock(workdir, kill_at)
        watch(clock)
        sys.argv = [program, f"--workdir={workdir}", *flags]
        code = 1
        try:
            runpy.run_path(str(ROOT / program), run_name="__main__")
        except SystemExit as end:
            code = 1 if end.code else 0
            print(end.code or "", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os.write(writing, json.dumps(clock.moments).encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        moments = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, [tuple(moment) for moment in json.loads(moments or "[]")]


def expect(code, outcome):
    """Ends this program if a run ended otherwise."""
    if outcome[0] != code:
        sys.exit(f"a run ended with {outcome[0]}, expected {code}")


def draw(moments):
    """Some moments of every stage, in order, between units of work and in the midst of files."""
    generator, kills = random.Random(0), []
    for stage, (between, amidst) in KILLS.items():
        found = sorted({moment for moment in moments if moment[0] == list(STAGES).index(stage)})
        units, changes = ([moment for moment in found if (moment[2] > 0) == changed] for changed in (0, 1))
        kills += sorted(generator.sample(units, between) + generator.sample(changes, amidst))
    return kills


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pretraining.TEST_FRAMES = pretraining.TEST_BATCH
    flags = [
        f"--config={ROOT}/configs/quickstart.py",
        *(f"--config.{key}={value}" for key, value in SETTINGS.items()),
    ]
    expect(0, whole := run("train.py", folder / "whole", *flags))
    kills = draw(whole[1])
    for kill in kills:
        expect(-signal.SIGKILL, run("train.py", folder / "killed", *flags, kill_at=kill))
    expect(0, run("train.py", folder / "killed", *flags))
    (folder / "killed" / "results.json").rename(folder / "trained.json")
    expect(0, run("eval.py", folder / "killed"))
    for name in ("whole", "killed"):
        (folder / name / "results.json").rename(folder / f"{name}.json")
        shutil.rmtree(folder / name / "lenet" / "normal" / "lstm")  # so that the features may change
    flags += [f"--config.{key}={value}" for key, value in CHANGED.items()]
    expect(0, run("train.py", folder / "whole", *flags))
    for count in CHANGED_KILLS:
        expect(-signal.SIGKILL, run("train.py", folder / "killed", *flags, kill_at=count))
    expect(0, run("train.py", folder / "killed", *flags))
    print(json.dumps({"kills": kills}))
