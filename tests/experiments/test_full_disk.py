"""A disk that is full while an experiment writes: one line, and the same command goes on afterwards."""

import shutil
from types import SimpleNamespace

import experiments_runs as runs
import experiments_tiny as tiny
import pytest
from full_disk import no_space_beyond

from geoattn_jax.experiments import run


def config():
    return tiny.tiny_config("quickstart", models=("lenet",), conditions=("rotation",))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run.train_and_evaluate(config(), folder)
    return folder


def names(folder):
    """Of files and folders; what is inside of a checkpoint orbax names by chance."""
    found = {str(path.relative_to(folder)).partition("/state/")[0] for path in folder.rglob("*")}
    return {name for name in found if "orbax-checkpoint-tmp" not in name}


def assert_it_stops_at(path, folder, capsys):
    """In one line that names the file."""
    with pytest.raises(SystemExit) as ended, run.ending_in_one_line("train.py"):
        run.train_and_evaluate(config(), folder)
    (line,) = ended.value.code.splitlines()
    assert line.startswith(f"train.py: {path}: there is no space left to write it (")
    assert line.endswith("); free some and run the same command to go on")
    assert not any("Traceback" in output for output in capsys.readouterr())


def test_a_run_goes_on_as_often_as_the_disk_is_full(tmp_path, finished, monkeypatch, capsys):
    folder = tmp_path / "run"
    with no_space_beyond(100):
        assert_it_stops_at(folder / "geoattn_jax.json", folder, capsys)
    assert names(folder) == set()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
        assert_it_stops_at(folder / "lenet" / "pretrain" / "checkpoints" / "1", folder, capsys)
    run.train_and_evaluate(config(), folder)
    assert runs.rows(folder) == runs.rows(finished)
    assert names(folder) == names(finished)


@pytest.mark.parametrize("name", ["lenet/rotation/train.npz", "results.json", "figures/sequences.png"])
def test_what_comes_after_training_is_done_again(tmp_path, finished, name, capsys):
    """Where a file of its size has no place, nor those after it."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    expected, path = names(finished), folder / name
    size = path.stat().st_size
    for missing in {path, folder / "results.json", *(folder / "figures").iterdir()}:
        missing.unlink()
    with no_space_beyond(size - 1):
        assert_it_stops_at(path, folder, capsys)
    assert names(folder) <= expected - {name}
    run.train_and_evaluate(config(), folder)
    assert runs.rows(folder) == runs.rows(finished)
    assert names(folder) == expected
