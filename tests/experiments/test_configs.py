"""Every config runs, two steps of each phase; and train.py and eval.py on the command line."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import experiments_tiny as tiny
import pytest

from geoattn_jax.experiments import run
from geoattn_jax.training import read_results

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in tiny.CONFIGS.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_two_steps(name, tmp_path):
    config = tiny.tiny_config(name)
    config.models, config.conditions = config.models[:1], config.conditions[-1:]
    if config.digits == "mnist":
        tiny.write_mnist(tmp_path)
        config.data_dir = str(tmp_path)
    run.train_and_evaluate(config, tmp_path / "run")
    found = {(row.model, row.condition) for row in read_results(tmp_path / "run" / "results.json").rows}
    cells = itertools.product([f"{model}_lstm" for model in config.models], config.conditions)
    assert set(cells) <= found


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_gives_the_command(name):
    text = (tiny.CONFIGS / f"{name}.py").read_text()
    assert f"python train.py --config=configs/{name}.py --workdir=" in text


def program(name, *arguments, folder):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    return subprocess.run(
        [sys.executable, ROOT / name, *arguments], capture_output=True, text=True, env=environment, cwd=folder
    )


CONFIG = f"--config={ROOT}/configs/quickstart.py"
OVERRIDES = [f"--config.{key}={value}" for key, value in tiny.TWO_STEPS.items()]


def test_the_programs(tmp_path):
    choice = ["--config.models=('lenet',)", "--config.conditions=('normal',)"]
    done = program("train.py", CONFIG, "--workdir=run", *OVERRIDES, *choice, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "97.96" in done.stdout
    for file in ("results.json", "table.md", "figures/sequences.png"):
        assert str(tmp_path / "run" / file) in done.stdout
    assert "lenet: pretraining: 2/2 steps" in done.stderr
    results = tmp_path / "run" / "results.json"
    rows = read_results(results).rows
    results.unlink()
    done = program("eval.py", "--workdir=run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_results(results).rows == rows


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train.py", ["--workdir=run"], "--config"),
        ("train.py", [CONFIG], "--workdir"),
        ("train.py", [CONFIG, "--workdir=run", "--config.lstm.round=3"], '"rounds" instead of "round"'),
        ("train.py", ["--config=nowhere.py", "--workdir=run"], "nowhere.py"),
        ("train.py", [CONFIG, "--workdir=run", "--config.lstm.rounds=many"], "lstm.rounds"),
        (
            "train.py",
            [CONFIG, "--workdir=run", "--config.lstm.rounds=0"],
            "train.py: config.lstm.rounds must",
        ),
        ("train.py", [CONFIG, "--workdir=run", "more"], "unknown argument 'more'"),
        ("eval.py", ["--workdir=run"], "eval.py: workdir"),
    ],
)
def test_wrong_arguments_end_with_a_message(name, arguments, message, tmp_path):
    done = program(name, *arguments, folder=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["train.py", "eval.py"])
def test_help_and_length(name, tmp_path):
    assert "--workdir" in program(name, "--help", folder=tmp_path).stdout
    assert len((ROOT / name).read_text().splitlines()) < 80
