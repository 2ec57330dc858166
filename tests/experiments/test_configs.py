"""Every config runs, two steps of each phase; and train.py and eval.py on the command line."""

import os
import subprocess
import sys
from pathlib import Path

import experiments_tiny as tiny
import jax
import jax.numpy as jnp
import pytest

from geoattn_jax.experiments import run
from geoattn_jax.experiments.attention_level import AttentionLevel
from geoattn_jax.experiments.fitting import Fitting
from geoattn_jax.experiments.kitchen_frames import Samples
from geoattn_jax.experiments.supervised_attention import SupervisedAttention
from geoattn_jax.training import read_results
from geoattn_jax.training.step import check_loss

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in tiny.CONFIGS.glob("*.py"))


# Each experiment cut down to one cell: the changes, and the (model, condition) that they leave.
ONE_CELL = {
    "two_stage": (
        {"models": 1, "conditions": 1},
        lambda config: (f"{config.models[0]}_lstm", config.conditions[0]),
    ),
    "supervised_attention": (
        {"models": slice(1), "levels": slice(1), "localizers": slice(1)},
        lambda config: (config.models[0], f"{config.levels[0]}, {config.localizers[0]}"),
    ),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sstn_paper_scale"])  # below
def test_two_steps(name, tmp_path):
    config = tiny.tiny_config(name)
    changes, cell = ONE_CELL[config.experiment]
    config.update({key: config[key][kept] for key, kept in changes.items()})
    if config.get("digits") == "mnist":
        tiny.write_mnist(tmp_path)
        config.data_dir = str(tmp_path)
    run.train_and_evaluate(config, tmp_path / "run")
    rows = read_results(tmp_path / "run" / "results.json").rows
    assert cell(config) in {(row.model, row.condition) for row in rows}


def test_the_papers_scale_by_its_shapes(tmp_path):
    """VGG-16 twice takes gigabytes; what it would compute can be told without."""
    config = tiny.load_config("sstn_paper_scale")
    SupervisedAttention.prepare(config)
    level = AttentionLevel.prepare(config, "detail", Fitting(config, tmp_path, trains=True))
    task = level.task("large", mode="affine", start="centred")
    params = jax.eval_shape(lambda: task.initial_params(0))
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    vgg_16_without_fc8 = 138_357_544 - 1000 * 4097
    assert sizes["localizer"] + sizes["transformer"] == vgg_16_without_fc8 + 6 * 4097
    assert sizes["recognizer"] == vgg_16_without_fc8 + 14 * 4097
    phase = task.joint(
        updates=7, region="attended", localizer_rate=1.0, recognizer_rate=1.0, evaluate_every=1
    )
    assert phase.steps == 7 * 64
    samples = Samples(
        frames=jnp.zeros((2, 896, 1189, 3)),
        top_left=jnp.zeros((2, 2), jnp.int32),
        theta_2=jnp.zeros((2, 2, 3)),
        hand=jnp.zeros((2, 2)),
        panel=jnp.zeros((2, 2)),
        labels=jnp.zeros(2, jnp.int32),
    )
    check_loss(phase, params, {}, samples)


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
OVERRIDES = [f"--config.{key}={value}" for key, value in tiny.TWO_STEPS["two_stage"].items()]


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
