"""A run that was interrupted, in whatever way, ends as the uninterrupted one, to the bit."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import training_crash as crash
import training_problem as problem
import training_restore as restore
from full_disk import no_space_beyond

from geoattn_jax.files import DiskFullError
from geoattn_jax.training import WorkdirError, load_trained, read_metrics, train
from geoattn_jax.training.checkpoint import Checkpoints, digest
from geoattn_jax.training.step import TrainState


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


def interrupted(phases, at):
    """The phases, the batch after `at` steps of the run raising."""
    draws, changed, start = [], [], 0
    for phase in phases:

        def batch(seed, step, phase=phase, start=start):
            draws.append(step)
            if start + step == at and len(draws) > len(phases):  # the first draws are the checks'
                raise InterruptionError
            return phase.batch(seed, step)

        changed.append(dataclasses.replace(phase, batch=batch))
        start += phase.steps
    return changed


def run(folder, phases=None, **options):
    options = {"seed": 3, "devices": jax.devices()[:1], "checkpoint_every": 3, "log_every": 2} | options
    params, model_state = problem.initial_params(), problem.initial_model_state()
    return train(phases or problem.phases(), params, model_state, directory=folder, **options)


def rows_without_time(folder):
    return [{**row, "seconds": None} for row in read_metrics(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, run(folder)


def assert_same_end(folder, trained, uninterrupted):
    expected_folder, expected = uninterrupted
    problem.assert_trained_equal(trained, expected)
    assert rows_without_time(folder) == rows_without_time(expected_folder)


@pytest.mark.parametrize("stops", [(0,), (2, 3, 4), (7, 11), (9, 17)])
def test_stopped_at_any_step_and_run_again(tmp_path, uninterrupted, stops):
    """Stops before the first checkpoint, around checkpoints, at the seams of phases and inside each."""
    for stop in stops:
        with pytest.raises(InterruptionError):
            run(tmp_path, interrupted(problem.phases(), stop))
    assert_same_end(tmp_path, run(tmp_path), uninterrupted)


def test_a_finished_run_does_no_step_and_changes_no_file(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted[0], tmp_path / "again")
    folder = tmp_path / "again"
    before = contents(folder)
    assert_same_end(folder, run(folder, interrupted(problem.phases(), 17)), uninterrupted)
    assert contents(folder) == before


def test_a_checkpoint_can_be_read_without_training(tmp_path, uninterrupted):
    model = (problem.phases(), problem.initial_params(), problem.initial_model_state())
    problem.assert_trained_equal(load_trained(uninterrupted[0], *model, seed=3), uninterrupted[1])
    with pytest.raises(WorkdirError, match="has no checkpoint yet; train first"):
        load_trained(tmp_path / "run", *model, seed=3)
    with pytest.raises(InterruptionError):
        run(tmp_path / "run", interrupted(problem.phases(), 11))
    before = contents(tmp_path)
    assert load_trained(tmp_path / "run", *model, seed=3).step == 10
    assert contents(tmp_path) == before


def test_checkpoints_and_logging_do_not_change_the_run(tmp_path, uninterrupted):
    problem.assert_trained_equal(run(None), uninterrupted[1])
    problem.assert_trained_equal(run(tmp_path, checkpoint_every=100, log_every=100), uninterrupted[1])


def test_on_eight_devices_by_pmap(tmp_path):
    phases, options = problem.phases()[:2], {"devices": jax.devices(), "parallel": "pmap"}
    expected = run(tmp_path / "whole", phases, **options)
    with pytest.raises(InterruptionError):
        run(tmp_path / "parts", interrupted(phases, 10), **options)
    problem.assert_trained_equal(run(tmp_path / "parts", phases, **options), expected)


def test_seconds_go_on_after_an_interruption(tmp_path):
    with pytest.raises(InterruptionError):
        run(tmp_path, interrupted(problem.phases(), 10), log_every=1)
    kept = [row["seconds"] for row in read_metrics(tmp_path / "metrics.jsonl")][:10]
    run(tmp_path, log_every=1)
    seconds = [row["seconds"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert seconds[:10] == kept
    assert seconds == sorted(seconds)


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, uninterrupted, monkeypatch):
    with pytest.raises(InterruptionError):
        run(tmp_path, interrupted(problem.phases(), 7))
    before = contents(tmp_path / "checkpoints")
    assert before
    with no_space_beyond(200), pytest.raises(DiskFullError, match=r"metrics\.jsonl: there is no space left"):
        run(tmp_path)
    assert contents(tmp_path / "checkpoints") == before
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(DiskFullError, match=r"checkpoints/10: there is no space left .*; free some and run"):
        run(tmp_path)
    assert contents(tmp_path / "checkpoints") == before
    monkeypatch.undo()
    assert_same_end(tmp_path, run(tmp_path), uninterrupted)


@pytest.mark.parametrize("size", [0, 100, 2000, 20000])
def test_a_full_disk_leaves_the_checkpoints_before(tmp_path, size, caplog):
    """Whatever orbax, or tensorstore below it, says then."""

    def state(step):
        # Of noise, which is not compressed.
        weights = jax.random.normal(jax.random.key(step), (20_000,))
        return TrainState(np.array(step, np.int32), {"weights": weights}, {}, ())

    checkpoints = Checkpoints(tmp_path / "checkpoints", {"seed": 3})
    checkpoints.save(state(1), lines=1)
    with no_space_beyond(size), pytest.raises(DiskFullError, match=r"checkpoints/2: there is no space left"):
        checkpoints.save(state(2), lines=2)
    checkpoints.close()
    assert not any(record.exc_info for record in caplog.records)
    again = Checkpoints(tmp_path / "checkpoints", {"seed": 3})
    assert again.latest_step() == 1
    again.save(state(2), lines=2)
    again.close()
    restored = again.restore(state)
    problem.assert_trained_equal(restored.state, state(2))
    assert restored.lines == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


def start_process(script, *arguments, cache):
    """Starts one of the tests' scripts; compiled programs are shared between the processes."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_killed_again_and_again(tmp_path, compiled_programs):
    """SIGKILL before the folder is claimed, then once or more in every phase, in the midst of its files."""
    folder = tmp_path / "killed"
    whole = start_process(crash.__file__, tmp_path / "whole", 0, cache=compiled_programs)
    for kill_at in (2, 40, 50, 60, 60):
        killed = start_process(crash.__file__, folder, kill_at, cache=compiled_programs)
        _, errors = killed.communicate()
        assert killed.returncode == -signal.SIGKILL, errors.decode()
    last = start_process(crash.__file__, folder, 0, cache=compiled_programs)
    (result, errors), (expected, _) = last.communicate(), whole.communicate()
    assert last.returncode == 0, errors.decode()
    assert json.loads(result)["digest"] == json.loads(expected)["digest"]
    assert rows_without_time(folder / "run") == rows_without_time(tmp_path / "whole" / "run")
    for name in ("results.json", "geoattn_jax.json", "stages/total.npz"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def contents(folder):
    """Every file's path and bytes, and every folder's path."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def flip(path, where=0.5):
    """Turns one bit over."""
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 4
    path.write_bytes(bytes(content))


def checkpoint_files(folder):
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    return sorted(path for path in newest.rglob("*") if path.is_file())


DAMAGES = {"flip": flip, "empty": lambda path: path.write_bytes(b""), "remove": Path.unlink}


def test_a_damaged_checkpoint_is_refused_or_restores_to_the_bit(tmp_path, uninterrupted, compiled_programs):
    """Every file of a checkpoint, damaged in every way. Some hold nothing that the state depends on."""
    names = [path.relative_to(uninterrupted[0]) for path in checkpoint_files(uninterrupted[0])]
    cases = [(damage, name) for damage in DAMAGES for name in names]
    folders = [tmp_path / str(number) for number in range(len(cases))]
    before = []
    for folder, (damage, name) in zip(folders, cases, strict=True):
        shutil.copytree(uninterrupted[0], folder)
        DAMAGES[damage](folder / name)
        before.append(contents(folder))
    process = start_process(restore.__file__, *folders, cache=compiled_programs)
    output, errors = process.communicate()
    outcomes = [json.loads(line) for line in output.splitlines()]
    assert len(outcomes) == len(cases), errors.decode()
    refused = set()
    for case, folder, content, outcome in zip(cases, folders, before, outcomes, strict=True):
        if "refused" in outcome:
            refused.add(case)
            assert re.search(r"checkpoints/18 is damaged.*delete that folder", outcome["refused"]), case
            assert contents(folder) == content, case
        else:
            assert outcome["digest"] == digest(uninterrupted[1].params), case
    for damage in DAMAGES:
        assert (damage, Path("checkpoints/18/state/manifest.ocdbt")) in refused


def test_without_the_damaged_checkpoint_the_run_goes_on_from_the_one_before(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "checkpoints" / "18")
    assert_same_end(tmp_path, run(tmp_path), uninterrupted)


@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "manifest.ocdbt"])
def test_a_half_deleted_old_checkpoint_does_no_harm(tmp_path, uninterrupted, name):
    """A process can be killed while it deletes the checkpoint before the last."""
    with pytest.raises(InterruptionError):
        run(tmp_path, interrupted(problem.phases(), 16))
    old = min((tmp_path / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for path in old.rglob(name):
        path.unlink()
    assert_same_end(tmp_path, run(tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:3] + lines[4:], "lacks lines"),
        (lambda lines: [*lines[:2], b"{", *lines[2:]], "damaged in line 3"),
        (lambda lines: [*lines[:2], b"[]", *lines[2:]], "damaged in line 3"),
        (lambda lines: [], "lacks lines"),
    ],
)
def test_damaged_metrics_are_refused(tmp_path, uninterrupted, change, message):
    shutil.copytree(uninterrupted[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))
    before = contents(tmp_path)
    with pytest.raises(WorkdirError, match=message):
        run(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 4},
        {"phases": problem.phases()[:2]},
        {"phases": [dataclasses.replace(problem.phases()[0], steps=8), *problem.phases()[1:]]},
    ],
    ids=["seed", "phases", "steps"],
)
def test_another_runs_checkpoints_are_refused(tmp_path, uninterrupted, other):
    shutil.copytree(uninterrupted[0], tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    with pytest.raises(WorkdirError, match="written by another run"):
        run(tmp_path, **other)
    assert contents(tmp_path) == before


def test_another_models_checkpoint_is_refused(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted[0], tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    wider = problem.initial_params()
    wider["extra"] = {"bias": np.zeros(3, np.float32)}
    with pytest.raises(WorkdirError, match="damaged, or does not fit this program"):
        train(problem.phases(), wider, problem.initial_model_state(), seed=3, directory=tmp_path)
    assert contents(tmp_path) == before
