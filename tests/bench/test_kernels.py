"""The kernels suite in tiny sizes: all contenders agree, and the command line keeps a complete record."""

import dataclasses
import json
import os

import numpy as np
import pytest

from geoattn_jax.bench import kernels, machine, timing, torch_rivals
from geoattn_jax.bench.__main__ import main
from geoattn_jax.bench.kernel_workloads import between_pixels


@pytest.fixture
def in_this_process(monkeypatch):
    """Keeps the benchmark from starting the test run over with other settings."""
    monkeypatch.setattr("geoattn_jax.runtime.tune_cpu", lambda *, allocator: None)
    monkeypatch.setattr(machine, "copy_bandwidth", lambda: 1e10)


@pytest.mark.parametrize("name", kernels.WORKLOADS)
def test_all_contenders_agree(name):
    forward, both = kernels.cases([name], smoke=True)
    timing.check_agreement(forward)
    timing.check_agreement(both)
    assert (forward.mode, both.mode) == (kernels.FORWARD, kernels.BOTH)
    inputs = kernels.WORKLOADS[name].inputs(np.random.default_rng(0), True)
    ours = both.contenders[0]
    assert set(ours.arrays(ours.call())) == {"output", *(f"gradient of {key}" for key in inputs)}


@pytest.mark.parametrize("shift", [1.0, 2**-5])
def test_another_position_is_noticed(monkeypatch, shift):
    right = kernels.WORKLOADS["S1"]
    wrong = dataclasses.replace(right, ours=lambda image, positions: right.ours(image, positions + shift))
    monkeypatch.setitem(kernels.WORKLOADS, "S1", wrong)
    with pytest.raises(timing.Disagreement, match="obvious gather and geoattn_jax differ in the output"):
        timing.check_agreement(next(kernels.cases(["S1"], smoke=True)))


def test_goals_and_causes_belong_to_a_case():
    modes = {(name, mode) for name in kernels.WORKLOADS for mode in (kernels.FORWARD, kernels.BOTH)}
    assert set(kernels.CAUSES) <= set(kernels.GOALS) <= modes
    rivals = {torch_rivals.GRID_SAMPLE, torch_rivals.CONVOLUTION, torch_rivals.DEFORMABLE, None}
    assert {goal.against for goals in kernels.GOALS.values() for goal in goals} <= rivals


def test_positions_keep_away_from_integers():
    positions = between_pixels(np.linspace(-3, 3, 1001, dtype="float32"))
    assert positions.dtype == "float32"
    assert abs(positions - positions.round()).min() == 1 / 64


def test_a_crop_reads_no_more_than_it_shows():
    image, positions = np.zeros((1, 100, 100, 3), "float32"), np.zeros((1, 10, 10, 2), "float32")
    output = np.zeros((1, 10, 10, 3), "float32")
    inputs = {"image": image, "positions": positions}
    assert kernels.minimum_bytes(inputs, output, kernels.FORWARD) == 4 * (300 + 200 + 300)
    assert kernels.minimum_bytes(inputs, output, kernels.BOTH) == 4 * (800 + 30000 + 200 + 300)


@pytest.mark.usefixtures("in_this_process")
def test_the_command_keeps_a_complete_record(tmp_path, capsys):
    out = tmp_path / "kernels.json"
    assert main(["kernels", "--only", "S1", "--rounds", "2", "--smoke", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert record["suite"] == "kernels"
    assert record["rounds"] == 2
    assert "commit" in record
    assert {"device", "platform", "cores", "versions", "settings", "load_average"} <= set(record["machine"])
    assert {"python", "jax", "jaxlib", "numpy"} <= set(record["machine"]["versions"])
    assert {"XLA_FLAGS", "allocator"} <= set(record["machine"]["settings"])
    assert [(result["workload"], result["mode"]) for result in record["results"]] == [
        ("S1", "forward"),
        ("S1", "forward+backward"),
    ]
    for result in record["results"]:
        names = [contender["name"] for contender in result["contenders"]]
        assert names[:2] == ["geoattn_jax", "obvious gather"]
        assert all(len(contender["seconds"]) == 2 for contender in result["contenders"])
        assert result["contenders"][0]["temporary_mib"] >= 0
    assert "| S1 | forward+backward | geoattn_jax" in capsys.readouterr().out


def test_an_unknown_workload_is_answered_with_the_known_ones(caplog):
    assert main(["kernels", "--only", "S1,Q7"]) == 1
    assert "--only: no workload 'Q7'; there are S1, S2, S3, S4, S5, D1, D2, D3, R1, A1" in caplog.text


def test_no_rounds_are_refused(caplog):
    assert main(["kernels", "--rounds", "0"]) == 1
    assert "--rounds must be at least 1, got 0" in caplog.text


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("out", ["/dev/null/record.json", "/"])
def test_an_out_that_cannot_be_written_is_refused_before_anything_is_timed(caplog, monkeypatch, out):
    monkeypatch.setattr("geoattn_jax.bench.running.measured", lambda *_, **__: pytest.fail("timed"))
    assert main(["kernels", "--smoke", "--out", out]) == 1
    assert caplog.text.count("\n") == 1
    assert out.removesuffix("/record.json") in caplog.text


def test_list_names_the_workloads(capsys):
    assert main(["kernels", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(kernels.WORKLOADS)


def test_cores_are_the_last_of_those_allowed(monkeypatch):
    pinned = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 3, 5, 6})
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: pinned.extend(cores))
    machine.pin_to_cores(2)
    assert pinned == [5, 6]
    with pytest.raises(
        ValueError, match="--cores must be between 1 and 4, the cores this process may use, got 5"
    ):
        machine.pin_to_cores(5)
