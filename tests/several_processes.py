"""Programs in several processes on this machine, forks of one that has imported everything already.

`python several_processes.py crash FOLDER` runs `training_crash.experiment` in two processes of two devices
each: in FOLDER/whole without a stop; in FOLDER/killed with one or the other killed by SIGKILL at random, and
both started again, until it ends. It prints {"digests"}, of what both processes have at the ends of both.

`python several_processes.py experiments FOLDER` trains small experiments in two processes of two devices, in
FOLDER/NAME-2, and in one of four, in FOLDER/NAME-1.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":  # before JAX is imported
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(sys.argv[2]) / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"  # compiling takes longer than running

import json
import random
import signal
import socket
import traceback

import experiments_tiny as tiny
import jax
import numpy as np
import sklearn.svm  # noqa: F401  slow to import, and needed by the runs
import training_crash as crash
import video_files as videos

from geoattn_jax.experiments import run
from geoattn_jax.training.checkpoint import digest
from geoattn_jax.training.processes import join

KILLS = 5
ONE_LEVEL = {"levels": ("general",), "runs": 1}
EXPERIMENTS = {
    "quickstart": {"models": ("lenet",), "conditions": ("rotation_scaling",)},
    "table_b2": {**ONE_LEVEL, "localizers": ("small",), "models__general__small": ("sstn",)},
    # Adam's steps do not shrink with the gradients, which lifts rounding to 1e-5 here; momentum's do.
    "video_folder": {**ONE_LEVEL, "models": ("sstn", "hard_coded"), "optimizer": "momentum"},
}


def together(processes, devices, work):
    """Forks processes that work together: work(number) in each; returns their exit codes, in their order.

    When one has failed or was killed the others are killed, as they may wait for it for ever, and get None.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    children = {_fork(number, processes, devices, coordinator, work): number for number in range(processes)}
    codes = {}
    while len(codes) < processes:
        child, status = os.wait()
        codes[child] = None if any(codes.values()) else os.waitstatus_to_exitcode(status)
        if codes[child]:
            for other in children.keys() - codes.keys():
                os.kill(other, signal.SIGKILL)
    return [codes[child] for child in children]


def _fork(number, processes, devices, coordinator, work):
    child = os.fork()
    if child:
        return child
    try:
        jax.config.update("jax_num_cpu_devices", devices)
        if processes > 1:
            join(coordinator, processes, number)
        work(number)
        if processes > 1:
            jax.distributed.shutdown()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def crash_again_and_again(folder):
    """Prints the digests of both processes' results, uninterrupted and killed."""
    draw = random.Random(14)
    report = folder / "report"
    report.mkdir()

    def work(name, victim=None, kill_at=0):
        def one(number):
            killer = crash.Killer(folder / name, kill_at if number == victim else 0)
            trained = crash.experiment(folder / name, killer.count)
            (report / f"{name}-{number}").write_text(digest(trained.params))

        return one

    assert together(2, 2, work("whole")) == [0, 0]
    for kill in range(KILLS):
        victim = kill % 2
        # The first process also writes files, each of which is an event; batches are the other's only ones.
        kill_at = draw.randint(4, 40 if victim == 0 else 6)
        codes = together(2, 2, work("killed", victim, kill_at))
        assert codes[victim] == -signal.SIGKILL, (victim, kill_at, codes)
    assert together(2, 2, work("killed")) == [0, 0]
    names = [f"{name}-{number}" for name in ("whole", "killed") for number in range(2)]
    print(json.dumps({"digests": [(report / name).read_text() for name in names]}))


def half_moving(step, seed):
    """Frames of which one half moves and the other stands still: the flow differs from its mean."""
    moving, still = (videos.moving_texture(one, 5, (48, 68), seed=seed) for one in (step, (0, 0)))
    return np.concatenate([moving[:, :, :30], still[:, :, 30:]], axis=2)


def train_small_experiments(folder):
    """Each in two processes and in one."""

    videos.write_folder(folder / "videos", picture_of=half_moving)

    def work(processes):
        def one(number):
            del number
            for name, changes in EXPERIMENTS.items():
                config = tiny.tiny_config(name, **changes)
                if name == "video_folder":
                    config.data.data_dir = str(folder / "videos")
                run.train_and_evaluate(config, folder / f"{name}-{processes}")

        return one

    assert together(2, 2, work(2)) == [0, 0]
    assert together(1, 4, work(1)) == [0]


if __name__ == "__main__":
    action = {"crash": crash_again_and_again, "experiments": train_small_experiments}[sys.argv[1]]
    action(Path(sys.argv[2]))
