"""A run that was interrupted, in whatever way, ends as the uninterrupted one, to the bit."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import training_crash as crash
import training_problem as problem

from geoattn_jax.training import WorkdirError, read_metrics, train

OPTIONS = dict(checkpoint_every=3, log_every=2)


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


def interrupted(phases, at):
    """The phases, the batch after `at` steps of the run raising."""
    changed, start = [], 0
    for phase in phases:

        def batch(seed, step, phase=phase, start=start):
            if start + step == at and armed:
                raise InterruptionError
            armed.append(True)  # the first draws are the checks'
            return phase.batch(seed, step)

        changed.append(dataclasses.replace(phase, batch=batch))
        start += phase.steps
    armed = []
    return changed


def run(folder, phases=None, **options):
    return train(
        phases or problem.phases(),
        problem.initial_params(),
        problem.initial_model_state(),
        seed=3,
        directory=folder,
        devices=jax.devices()[:1],
        **(OPTIONS | options),
    )


def rows_without_time(folder):
    return [{**row, "seconds": None} for row in read_metrics(folder / "metrics.jsonl")]
