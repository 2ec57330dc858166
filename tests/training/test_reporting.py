"""What a run tells: lines where there is no terminal, TensorBoard's files, and lines that were cut off."""

import dataclasses

import jax
import pytest
import training_problem as problem

from geoattn_jax.training import read_metrics, train


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


def test_tensorboard_files(tmp_path):
    pytest.importorskip("tensorboardX")
    run(tmp_path, tensorboard=True)
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"trunk/loss" in content
    assert b"head/mae" in content
