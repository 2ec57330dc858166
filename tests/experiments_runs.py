"""Runs of experiments that are cut off and go on, and those that are evaluated anew."""

import pytest

from geoattn_jax.experiments import run
from geoattn_jax.experiments.core.results import read_results


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


def rows(folder):
    return read_results(folder / "results.json").rows


def interrupt(monkeypatch, place, name, *, at_call):
    """Lets some call of a function end the run."""
    original, calls = getattr(place, name), []

    def interrupted(*arguments, **options):
        calls.append(name)
        if len(calls) == at_call:
            raise InterruptionError
        return original(*arguments, **options)

    monkeypatch.setattr(place, name, interrupted)


def begin(config, folder, place, name, *, at_call):
    """Trains until that call."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, place, name, at_call=at_call)
        with pytest.raises(InterruptionError):
            run.train_and_evaluate(config, folder)


def assert_it_ends_as(finished, config, folder, place, name, *, at_call):
    """Interrupted at a call and run again, it has all numbers of the uninterrupted run, to the bit."""
    begin(config, folder, place, name, at_call=at_call)
    assert not (folder / "results.json").exists()
    run.train_and_evaluate(config, folder)
    assert rows(folder) == rows(finished)


def assert_evaluation_repeats(folder):
    """The checkpoints alone give the same numbers."""
    expected = rows(folder)
    (folder / "results.json").unlink()
    run.evaluate(folder)
    assert rows(folder) == expected
