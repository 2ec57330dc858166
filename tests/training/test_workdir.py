"""The folder of an experiment: whose it is, and that a refusal changes nothing."""

import json
import os
import subprocess
import sys

import pytest

from geoattn_jax.training import WorkdirError, open_workdir, read_config

CONFIG = {"seed": 3, "model": {"name": "lenet", "sizes": (20, 50)}, "rate": 0.1}


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def claim(folder, config=None):
    with open_workdir(folder, config or CONFIG) as workdir:
        return workdir


def test_a_new_folder_is_claimed_and_opens_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "first"
    assert claim("runs/first") == folder
    (folder / "something").write_text("made by the run")
    before = contents(folder)
    assert claim(folder) == folder
    assert contents(folder) == before
    assert read_config(folder) == json.loads(json.dumps(CONFIG))


def test_a_process_killed_while_it_claimed_does_not_spoil_the_folder(tmp_path):
    (tmp_path / ".geoattn_jax.json.tmp").write_text('{"form')
    claim(tmp_path)
    assert read_config(tmp_path)["seed"] == 3
    assert list(contents(tmp_path)) == ["geoattn_jax.json"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CONFIG | {"seed": 4}, r"another config \(seed: 3 then, 4 now\)"),
        (CONFIG | {"model": {"name": "dcn", "sizes": (20, 50)}}, 'model.name: "lenet" then, "dcn" now'),
        (
            CONFIG | {"model": {"name": "lenet", "sizes": (20, 51)}},
            "model.sizes: .20, 50. then, .20, 51. now",
        ),
        ({"seed": 3}, 'model.name: "lenet" then, absent now'),
        (CONFIG | {"new": None}, "new: absent then, null now"),
    ],
)
def test_another_config_is_refused(tmp_path, config, message):
    claim(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(WorkdirError, match=message):
        claim(tmp_path, config)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "thesis.tex",
            "years of work",
            r"not empty and was not made by this program \(it holds thesis.tex\)",
        ),
        ("geoattn_jax.json", '{"format": 1, "conf', "damaged: geoattn_jax.json cannot be read"),
        ("geoattn_jax.json", "[]", "damaged"),
        ("geoattn_jax.json", '{"format": 1}', "damaged"),
        ("geoattn_jax.json", '{"format": 1, "config": 5}', "damaged"),
        ("geoattn_jax.json", '{"format": 9, "config": {}}', "has format 9, this version reads format 1"),
    ],
)
def test_a_foreign_or_damaged_folder_is_refused_and_untouched(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    before = contents(tmp_path)
    with pytest.raises(WorkdirError, match=message):
        claim(tmp_path)
    assert contents(tmp_path) == before


def test_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")
    with pytest.raises(WorkdirError, match="is a file; give a folder"):
        claim(path)
    assert path.read_text() == "text"


@pytest.mark.parametrize("path", ["/dev/null/run", "/proc/run"])
def test_a_folder_that_cannot_be_made_is_named(path):
    with pytest.raises(WorkdirError, match=rf"workdir {path} cannot be written to .*give another folder"):
        claim(path)


def test_an_error_of_the_run_is_its_own(tmp_path):
    with pytest.raises(OSError, match="disk full"), open_workdir(tmp_path, CONFIG):
        raise OSError("disk full")


@pytest.mark.parametrize(("written", "claimed_before"), [(False, False), (True, False), (False, True)])
def test_only_a_new_claim_without_any_work_is_taken_back(tmp_path, written, claimed_before):
    if claimed_before:
        with open_workdir(tmp_path, {"seed": 0}):
            pass

    def fail(folder):
        if written:
            (folder / "work").touch()
        raise RuntimeError("of the run")

    with pytest.raises(RuntimeError, match="of the run"), open_workdir(tmp_path, {"seed": 0}) as folder:
        fail(folder)
    assert (tmp_path / "geoattn_jax.json").exists() == (written or claimed_before)


def test_only_one_opens_a_folder_at_a_time(tmp_path):
    with open_workdir(tmp_path, CONFIG):
        program = (
            "import sys, fcntl, os\n"
            "try: fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "except BlockingIOError: sys.exit(7)"
        )
        assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 7
        with pytest.raises(WorkdirError, match="in use by another process"):
            claim(tmp_path)
    claim(tmp_path)


def test_reading_the_config_of_no_workdir(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere", "/dev/null/run"):
        with pytest.raises(WorkdirError, match="no run was started in it"):
            read_config(folder)
    assert os.listdir(tmp_path) == []
