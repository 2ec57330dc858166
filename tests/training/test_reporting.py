"""What a run tells: lines where there is no terminal, TensorBoard's files, and lines that were cut off."""

import dataclasses
import json
from collections import deque

import jax
import pytest
import training_problem as problem
from full_disk import no_space_beyond

from geoattn_jax.files import DiskFullError
from geoattn_jax.training import WorkdirError, read_last_metrics, read_metrics, train
from geoattn_jax.training.metrics import BYTES_AT_ONCE, MetricsFile


def run(folder, **options):
    return train(
        problem.phases()[:2],
        problem.initial_params(),
        problem.initial_model_state(),
        seed=3,
        directory=folder,
        devices=jax.devices()[:1],
        **options,
    )


def test_without_a_terminal_progress_is_plain_lines(capsys):
    run(None)
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert lines[0] == "trunk: 0/7 steps done"
    assert any(line.startswith("trunk: 7/7 steps, loss ") for line in lines)
    assert lines[-1].startswith("head: 5/5 steps, loss ")
    assert "\x1b" not in output.err


def test_progress_shows_the_metric_that_the_phase_names(capsys):
    phase = dataclasses.replace(problem.phases()[0], shown="mae")
    train([phase], problem.initial_params(), problem.initial_model_state(), seed=3)
    assert capsys.readouterr().err.splitlines()[-1].startswith("trunk: 7/7 steps, mae ")


def test_lines_of_metrics(tmp_path):
    run(tmp_path, log_every=3)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [(row["step"], row["phase"], row["phase_step"]) for row in rows] == [
        (3, "trunk", 3),
        (6, "trunk", 6),
        (7, "trunk", 7),
        (10, "head", 3),
        (12, "head", 5),
    ]
    assert all(list(row) == ["step", "phase", "phase_step", "loss", "mae", "seconds"] for row in rows)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]
    assert read_last_metrics(path) == {"step": 2}


@pytest.mark.parametrize("count", [1, 2, 1000])
@pytest.mark.parametrize("filling", [0, 1, BYTES_AT_ONCE - 30, 3 * BYTES_AT_ONCE])
@pytest.mark.parametrize("rest", ["", '{"ste', '{"step": ' + BYTES_AT_ONCE * "1"])
def test_the_last_line_is_found_from_the_end(tmp_path, count, filling, rest):
    path = tmp_path / "metrics.jsonl"
    last = json.dumps({"step": count, "note": filling * "x"}) + "\n"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in range(count - 1)) + last + rest)
    assert read_last_metrics(path) == json.loads(last) == read_metrics(path)[-1]


@pytest.mark.parametrize("content", ["", '{"ste', "\n", '{"step": 1}\nnothing\n', '{"step": 1}\n{}\n'])
def test_a_last_line_that_is_damaged_is_refused(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    with pytest.raises(WorkdirError, match=r"metrics\.jsonl is damaged in its last line"):
        read_last_metrics(path)


def test_a_full_disk_costs_the_line_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "seconds": 0.5 * step} for step in range(1, 9)]
    file = MetricsFile(path, until=0, lines=0)
    with no_space_beyond(100):
        with pytest.raises(DiskFullError, match=r"metrics\.jsonl: there is no space left .*; free some"):
            deque(map(file.write, rows))
        with pytest.raises(DiskFullError, match=r"metrics\.jsonl"):
            file.close()
    kept = read_metrics(path)
    assert 0 < len(kept) < 8
    assert kept == rows[: len(kept)]
    again = MetricsFile(path, until=len(kept), lines=len(kept))
    for row in rows[len(kept) :]:
        again.write(row)
    again.close()
    assert read_metrics(path) == rows


def test_tensorboard_files(tmp_path):
    pytest.importorskip("tensorboardX")
    run(tmp_path, tensorboard=True)
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"trunk/loss" in content
    assert b"head/mae" in content
