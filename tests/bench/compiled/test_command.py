"""The command keeps what the compilers say; where one is missing it says what to install."""

import json
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from geoattn_jax.bench import records
from geoattn_jax.bench.__main__ import main, write_report
from geoattn_jax.bench.compiled import compilation, programs, report, target
from geoattn_jax.bench.compiled.programs import Compilation, Workload

EVERY_PLATFORM = True


def row(**changes):
    return {
        "workload": "W",
        "mode": "forward",
        "dtype": "float32",
        "devices": 4,
        "flops": 2_500_000_000,
        "bytes": 3 * 2**20,
        "cycles": 1_500_000,
        "gathered_indices": 250_000,
        "scattered_indices": 0,
        "launches": 17,
        "float64": False,
        "collectives": {"all-reduce": 2},
        "temporary_bytes": 2**20,
        "argument_bytes": 5 * 2**20,
        "loops": [],
        **changes,
    }


def loop(**changes):
    return {
        "from": "while",
        "times": 1,
        "trips": 9,
        "index_by_index": False,
        "scatters": 1,
        "gathers": 0,
        **changes,
    }


def record(*rows, platform="tpu"):
    return {
        "suite": "compile",
        "command": "python -m geoattn_jax.bench compile --platform tpu",
        "commit": "0123456789abcdef",
        "date": "2026-01-31",
        "platform": platform,
        "topology": "v5e:2x2",
        "device": "TPU v5 lite",
        "versions": {"python": "3.11.1", "libtpu": "0.0.50"},
        "workloads": {"W": "a thing"},
        "results": list(rows),
    }


def cells(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[::2]]


def test_the_chapter_says_that_nothing_was_run():
    looping = record(row(loops=[loop()])) | {"device": "TPU v4"}
    text = report.chapter({"compile-tpu.json": record(row()), "compile-v4.json": looping})
    assert text.startswith("## Compiled, not run\n")
    first, second = text.split("\n### ")[1:]
    assert first.startswith("TPU v5 lite, v5e:2x2\n")
    assert second.startswith("TPU v4, v5e:2x2\n")
    assert "(`compile-tpu.json`)" in first
    assert "libtpu 0.0.50; commit 0123456789." in first
    assert "**estimate**" in text
    assert text.count("- **W**: a thing") == 1
    assert ("Loops:" in first, "Loops:" in second) == (False, True)
    assert report.chapter({}) == ""


def test_costs_have_units():
    header, numbers = cells(report.costs_table(record(row())))
    found = dict(zip(header, numbers, strict=True))
    assert (found["M cycles"], found["M gathered"], found["GFLOP"]) == ("1.5", "0.25", "2.5")
    assert (found["MiB moved"], found["temporary MiB"], found["argument MiB"]) == ("3", "1", "5")
    assert (found["devices"], found["collectives"]) == ("4", "2 all-reduce")


def test_a_gpu_has_launches_in_place_of_cycles():
    header, numbers = cells(report.costs_table(record(row(cycles=None), platform="cuda")))
    assert dict(zip(header, numbers, strict=True))["launches"] == "17"
    assert "M cycles" not in header


def test_float64_and_failures_are_said():
    assert "| 2 all-reduce; computes in float64 |" in report.costs_table(record(row(float64=True)))
    failed = {key: row()[key] for key in ("workload", "mode", "dtype", "devices")}
    assert "failed: no memory" in report.costs_table(record({**failed, "error": "no memory"}))


def test_equal_loops_share_a_row():
    loops = [
        loop(),
        loop(),
        loop(**{"from": "scatter-add"}, times=9, trips=12544, index_by_index=True),
        loop(trips=None),
    ]
    table = report.loops_table(record(row(loops=loops)))
    rows = [[cell.strip() for cell in line.split("|")[5:-1]] for line in table.splitlines()[2:]]
    assert rows == [
        ["2", "while", "1", "9", "1 scatters"],
        ["1", "scatter-add", "9", "12,544", "**index by index**"],
        ["1", "while", "1", "unknown", "1 scatters"],
    ]


def test_the_chapter_comes_after_the_timings(tmp_path):
    records.write(tmp_path / "compile-tpu.json", record(row()))
    write_report(tmp_path, tmp_path / "out.md")
    text = (tmp_path / "out.md").read_text()
    assert text.index("# Benchmarks") < text.index("## Compiled, not run")


def double(devices):
    return programs.lower_op(
        lambda x, n: jnp.sin(x) * n.astype(x.dtype),
        [jax.ShapeDtypeStruct((16, 3), "float32"), jax.ShapeDtypeStruct((16, 3), "int32")],
        devices,
        differentiated=True,
    )


@pytest.fixture
def compiles_for_this_machine(monkeypatch):
    """The compiler of the virtual CPU devices in the place of an accelerator's, and one small program."""

    def described(name, devices):
        yield Compilation(name, "forward+backward", "float32", len(devices), partial(double, devices))

    monkeypatch.setattr(target, "devices_of", lambda platform, topology: jax.devices())
    monkeypatch.setattr(programs, "WORKLOADS", {"W": Workload("a thing", described)})
    monkeypatch.setattr(compilation, "WORKLOADS", programs.WORKLOADS)


@pytest.mark.usefixtures("compiles_for_this_machine")
def test_the_command_keeps_a_complete_record(tmp_path, capsys):
    out = tmp_path / "new" / "compile.json"
    assert main(["compile", "--platform", "cuda", "--out", str(out)]) == 0
    kept = json.loads(out.read_text())
    assert set(kept) == {"format", *record()}
    assert kept["topology"] == "h100"
    (found,) = kept["results"]
    assert set(found) == set(row())
    assert (found["workload"], found["devices"], found["float64"]) == ("W", 8, False)
    assert (found["collectives"], found["loops"]) == ({}, [])
    assert "| W | forward+backward" in capsys.readouterr().out.replace("  ", "")


@pytest.mark.usefixtures("compiles_for_this_machine")
def test_list_names_the_workloads(capsys):
    assert main(["compile", "--platform", "cuda", "--list"]) == 0
    assert capsys.readouterr().out == "W  a thing\n"


def test_a_program_that_does_not_compile_does_not_stop_the_others():
    class Lowered:
        def compile(self):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 20 GiB\nof which")

    found = compilation.compiled(Compilation("W", "forward", "float32", 1, Lowered))
    assert found["error"] == "RESOURCE_EXHAUSTED: 20 GiB"


@pytest.mark.parametrize(("platform", "package"), [("tpu", "tpu-compile"), ("cuda", "jax[cuda13]")])
def test_a_missing_compiler_is_named(monkeypatch, caplog, platform, package):
    monkeypatch.setattr(target.importlib.util, "find_spec", lambda name: None)
    assert main(["compile", "--platform", platform]) == 1
    assert f"--platform {platform}: its compiler is not installed" in caplog.text
    assert package in caplog.text


def test_an_unknown_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(target, "why_missing", lambda platform: None)
    for topology in ("h9000", "h100:many"):
        with pytest.raises(ValueError, match=f"--topology must be one of cuda's.*got '{topology}'"):
            target.devices_of("cuda", topology)


@pytest.mark.skipif(target.why_missing("tpu") is not None, reason=f"needs {target.why_missing('tpu')}")
def test_an_unknown_tpu_is_refused():
    with pytest.raises(ValueError, match=r"--topology must be one of tpu's.*got 'v99:2x2'"):
        target.devices_of("tpu", "v99:2x2")


def test_gpus_are_described_by_name_and_number(monkeypatch):
    described = []

    def get_topology_desc(name, *, platform, topology, target_config):
        described.append((name, platform, topology, "NVIDIA H100" in target_config))
        return SimpleNamespace(devices=jax.devices()[:1])

    monkeypatch.setattr(target, "why_missing", lambda platform: None)
    monkeypatch.setattr(target.topologies, "get_topology_desc", get_topology_desc)
    assert target.devices_of("cuda", "h100") == target.devices_of("cuda", "h100:4") == jax.devices()[:1]
    assert described == [("h100", "cuda", "1x1x1", True), ("h100", "cuda", "1x1x4", True)]


@pytest.mark.skipif(target.why_missing("cuda") is not None, reason=f"needs {target.why_missing('cuda')}")
def test_a_program_compiles_for_a_gpu():
    (gpu,) = target.devices_of("cuda", "h100")
    found = compilation.compiled(Compilation("W", "forward", "float32", 1, partial(double, [gpu])))
    assert (found["launches"], found["cycles"]) == (1, None)
    assert found["argument_bytes"] == 3 * 4 * 16 * 3
