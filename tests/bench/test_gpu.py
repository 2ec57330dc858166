"""`bench gpu` on a CPU in tiny sizes: it runs, and what fails takes nothing else along."""

import json
import os
import threading

import numpy as np
import pytest

from geoattn_jax.bench import gpu, kernels, machine, timing, torch_rivals
from geoattn_jax.bench.__main__ import main
from geoattn_jax.bench.suite import Case, Contender


@pytest.fixture(autouse=True)
def _quick(monkeypatch, compiled_quickly):
    monkeypatch.setattr("geoattn_jax.runtime.tune_cpu", lambda *, allocator: None)
    monkeypatch.setattr(machine, "copy_bandwidth", lambda: 1e10)
    monkeypatch.setattr(timing, "MINIMUM_SECONDS", 0.0)


def run(tmp_path, *arguments):
    out = tmp_path / "gpu.json"
    code = main(["gpu", "--smoke", "--rounds", "1", "--out", str(out), *arguments])
    return code, json.loads(out.read_text())


def test_kernels_and_steps(tmp_path, capsys):
    names = ["D1-bfloat16", "sstn-float32", "rounds-tf32"]
    code, record = run(tmp_path, "--only", ",".join(names), "--seconds", "3600")
    assert (code, record["failures"], record["left"]) == (0, {}, [])
    assert [(result["workload"], result["mode"]) for result in record["results"]] == [
        ("D1", f"{kernels.FORWARD}, bfloat16"),
        ("D1", f"{kernels.BOTH}, bfloat16"),
        ("sstn", "training step, float32"),
        ("rounds", "training, tf32"),
    ]
    reasons = [torch_rivals.why_missing(package) for package in ("torch", "torchvision")]
    assert record["without_rivals"] == [reason for reason in reasons if reason]
    assert "| D1     | forward+backward, bfloat16" in capsys.readouterr().out


def contender(name, number):
    return Contender(name, "numbers", lambda: number, lambda result: {"output": np.full(3, result)})


def test_what_fails_is_recorded_and_the_rest_is_measured(tmp_path, monkeypatch):
    def fails(name, precision, smoke):
        raise RuntimeError("out of memory")

    def differs(name, precision, smoke):
        yield Case(name, "training", [contender("ours", 1.0), contender("theirs", 2.0)])

    monkeypatch.setitem(gpu.CASES, "D1", fails)
    monkeypatch.setitem(gpu.CASES, "D2", differs)
    code, record = run(tmp_path, "--only", "D1-float32,D2-float32")
    assert code == 1
    assert record["failures"]["D1-float32"] == "RuntimeError: out of memory"
    assert "theirs and ours differ in the output" in record["failures"]["D2-float32"]
    assert record["results"][0]["contenders"][1]["seconds"]


def test_when_the_time_is_up_there_is_what_was_measured_before(tmp_path, monkeypatch):
    ended, found = threading.Event(), []

    def measured(name, precision, smoke):
        yield Case(name, "training", [contender("ours", 1.0)])

    def never_ends(name, precision, smoke):
        assert ended.wait(60)
        found.append(json.loads((tmp_path / "gpu.json").read_text()))
        yield from ()

    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setitem(gpu.CASES, "D1", measured)
    monkeypatch.setitem(gpu.CASES, "D2", never_ends)
    run(tmp_path, "--only", "D1-float32,D2-float32", "--seconds", "0.5")
    (record,) = found
    assert record["left"] == ["D2-float32"]
    assert [result["workload"] for result in record["results"]] == ["D1"]
