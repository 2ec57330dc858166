"""Every config runs, two steps of each phase; and train.py and eval.py on the command line."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import experiments_tiny as tiny
import jax
import jax.numpy as jnp
import pytest

from geoattn_jax.experiments import run
from geoattn_jax.experiments.attention.samples import Samples
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.experiments.table_2 import frames
from geoattn_jax.experiments.table_2.experiment import SupervisedAttention
from geoattn_jax.experiments.table_3.sources import kitchen
from geoattn_jax.training.division import Portion
from geoattn_jax.training.step import check_loss

ROOT = Path(__file__).parents[2]
AT_ONCE = 14  # clips are rendered; it divides all splits, so that each needs one program
EVERY_PLATFORM = True  # every config's programs can be traced for each
NAMES = sorted(path.stem for path in tiny.CONFIGS.glob("*.py"))


def of_experiments(*experiments):
    return [name for name in NAMES if tiny.load_config(name).experiment in experiments]


@pytest.mark.no_cover  # each experiment's own tests measure its lines
@pytest.mark.parametrize("name", of_experiments("two_stage", "end_to_end"))
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


@pytest.mark.no_cover  # each experiment's own tests measure its lines
@pytest.mark.parametrize("name", sorted({*of_experiments("supervised_attention")} - {"sstn_paper_scale"}))
def test_two_steps_of_attention(name, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "CLIPS_AT_ONCE", AT_ONCE)
    config = tiny.tiny_config(name)
    config.levels, config.localizers, config.runs = config.levels[-1:], ("small",), 1
    config.models[config.levels[0]].small = ("sstn_guided",)
    run.train_and_evaluate(config, tmp_path / "run")
    rows = read_results(tmp_path / "run" / "results.json").rows
    assert {(row.model, row.condition, row.network) for row in rows} == {
        ("sstn_guided", config.levels[0], "small")
    }


@pytest.mark.no_cover  # each experiment's own tests measure its lines
def test_two_steps_of_streams(tmp_path, monkeypatch):
    """On rendered clips."""
    monkeypatch.setattr(kitchen, "CLIPS_AT_ONCE", AT_ONCE)
    config = tiny.tiny_config("table_b3", models=("hard_coded",), levels=("general",))
    run.train_and_evaluate(config, tmp_path / "run")
    rows = read_results(tmp_path / "run" / "results.json").rows
    assert {(row.model, row.condition) for row in rows} == {
        ("hard_coded", "general"),
        ("hard_coded", "late_fusion"),
    }


def test_the_papers_scale_by_its_shapes(tmp_path):
    """VGG-16 twice takes gigabytes; what it would compute can be told without."""
    config = tiny.load_config("sstn_paper_scale")
    level = SupervisedAttention.prepare(config, Fitting(config, tmp_path, trains=True)).levels["detail"]
    task = level.task("vgg_16", mode="affine", start="centred")
    params = jax.eval_shape(lambda: task.initial(0))["params"]
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    vgg_16_without_fc8 = 138_357_544 - 1000 * 4097
    assert sizes["localizer"] + sizes["transformer"] == vgg_16_without_fc8 + 6 * 4097
    assert sizes["recognizer"] == vgg_16_without_fc8 + 14 * 4097
    rates = {"localizer_rate": 1.0, "recognizer_rate": 1.0, "schedule": "cosine"}
    phase = task.joint(updates=7, region="attended", **rates, evaluate_every=1)
    assert (phase.steps, phase.batch_size, phase.sub_batches) == (7, 128, 64)
    samples = Samples(
        frames=jnp.zeros((2, 896, 1189, 3)),
        top_left=jnp.zeros((2, 2), jnp.int32),
        theta_2=jnp.zeros((2, 2, 3)),
        hand=jnp.zeros((2, 2)),
        panel=jnp.zeros((2, 2)),
        labels=jnp.zeros(2, jnp.int32),
        clips=jnp.zeros(2, jnp.int32),
        times=jnp.zeros(2, jnp.int32),
    )
    check_loss(phase, params, {}, Portion(samples, None))


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_gives_the_command(name):
    text = (tiny.CONFIGS / f"{name}.py").read_text()
    assert f"python train.py --config=configs/{name}.py --workdir=" in text


AS_IT_IS = {"GEOATTN_JAX_TUNED": "1"}  # spares the program to start over with other settings


def start_program(name, *arguments, folder, **environment):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "XDG_CACHE_HOME": str(folder / "cache"),
        **environment,
    }
    command = [sys.executable, ROOT / name, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=folder)


def program(name, *arguments, folder, **environment):
    process = start_program(name, *arguments, folder=folder, **environment)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


CONFIG = f"--config={ROOT}/configs/quickstart.py"
OVERRIDES = [f"--config.{key}={value}" for key, value in tiny.TWO_STEPS.items()]


def test_the_programs(tmp_path):
    choice = ["--config.models=('lenet',)", "--config.conditions=('normal',)"]
    done = program("train.py", CONFIG, "--workdir=run", *OVERRIDES, *choice, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "97.96" in done.stdout
    for file in ("results.json", "table.md", "figures/sequences.png"):
        assert str(tmp_path / "run" / file) in done.stdout
    assert "lenet: pretraining: 2/2 steps, loss 2." in done.stderr
    assert "CPU settings" not in done.stderr
    assert "lenet, normal: LSTM: 2/2 steps, mean loss 4." in done.stderr  # chance of 100 classes: log(100)
    results = tmp_path / "run" / "results.json"
    rows = read_results(results).rows
    results.unlink()
    done = program("eval.py", "--workdir=run", "--verbosity=1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CPU settings: XLA_FLAGS=" in done.stderr
    assert read_results(results).rows == rows


def test_an_interrupted_program_says_how_to_go_on(tmp_path):
    endless = "--config.pretrain.steps.lenet=1000000"
    arguments = [CONFIG, "--workdir=run", *OVERRIDES, endless]
    # Where the tests run as a shell's background job, SIGINT is ignored, and a program inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start_program("train.py", *arguments, folder=tmp_path, **AS_IT_IS)
    signal.signal(signal.SIGINT, before)
    while "0/1000000 steps" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "train.py: interrupted; run the same command to go on"
    assert "Traceback" not in errors


WRONG = [
    ("train.py", ["--workdir=run"], "--config"),
    ("train.py", [CONFIG], "--workdir"),
    (
        "train.py",
        [CONFIG, "--workdir=run", "--config.lstm.round=3"],
        "train.py: the config has no key 'lstm.round'. Did you mean config.lstm.rounds? The keys of "
        "config.lstm are batch_size, epochs, gate_activation, learning_rate, optimizer, rounds, schedule, "
        "sub_batches, units\n",
    ),
    (
        "train.py",
        ["--config=/nowhere.py", "--workdir=run", "--config.seed=3"],
        "train.py: --config=/nowhere.py cannot be read ([Errno 2] No such file or directory: '/nowh",
    ),
    (
        "train.py",
        [f"--config={ROOT}/README.md", "--workdir=run"],
        f"train.py: --config={ROOT}/README.md cannot be",
    ),
    ("train.py", [CONFIG, "--workdir=/dev/null/run"], "train.py: workdir /dev/null/run cannot be"),
    (
        "train.py",
        [CONFIG, "--workdir=run", "--config.lstm.rounds=2.5"],
        "train.py: config.lstm.rounds must be a whole number, at least 1, got '2.5'\n",
    ),
    (
        "train.py",
        [CONFIG, "--workdir=run", "--config.lstm.rounds=0"],
        "train.py: config.lstm.rounds must",
    ),
    ("train.py", [CONFIG, "--workdir=run", "more"], "unknown argument 'more'"),
    ("eval.py", ["--workdir=run"], "eval.py: workdir"),
]
HELP = [("train.py", [CONFIG, "--help"]), ("train.py", ["--help"]), ("eval.py", ["--help"])]


class Ended(NamedTuple):
    """A program that came to its end, and the folder that it ran in."""

    code: int
    output: str
    errors: str
    folder: Path


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """What becomes of every command that does no more than print, from one process that imports for all."""
    folder = tmp_path_factory.mktemp("programs")
    commands = [[name, *arguments] for name, arguments, *_ in (*WRONG, *HELP)]
    arguments = [str(folder), *map(json.dumps, commands)]
    started = start_program("tests/experiments_programs.py", *arguments, folder=folder, **AS_IT_IS)
    _, errors = started.communicate()
    assert started.returncode == 0, errors

    def of_command(name, arguments):
        own = folder / str(commands.index([name, *arguments]))
        code, output, errors = ((own / part).read_text() for part in ("code", "out", "errors"))
        return Ended(int(code), output, errors, own / "work")

    return of_command


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG)
def test_wrong_arguments_end_with_a_message(name, arguments, message, ended):
    done = ended(name, arguments)
    assert done.code != 0
    assert message in done.errors
    assert "Traceback" not in done.errors
    assert not (done.folder / "run").exists()


def test_help_lists_the_keys_of_a_config(ended):
    done = ended("train.py", [CONFIG, "--help"])
    assert done.code == 0
    assert "--config.lstm.rounds=50\n      independent trainings of the LSTM (a whole number" in done.output


@pytest.mark.parametrize("name", ["train.py", "eval.py"])
def test_help_and_length(name, ended):
    assert "--workdir" in ended(name, ["--help"]).output
    assert len((ROOT / name).read_text().splitlines()) < 80
