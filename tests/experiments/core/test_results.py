"""results.json: what may be in it, and what a reader gets from it."""

import dataclasses
import json
import math

import jax
import pytest

from geoattn_jax.experiments.core.provenance import provenance
from geoattn_jax.experiments.core.results import Results, Row, read_results, write_results
from geoattn_jax.experiments.core.tables import markdown
from geoattn_jax.training import WorkdirError

ROW = Row("A1", "dcn_lstm", "rotation", "interleaved", "accuracy", mean=0.9912, std=0.013, n=300, paper=0.997)
ROWS = [
    ROW,
    dataclasses.replace(ROW, model="lenet_lstm", mean=0.5, paper=None),
    dataclasses.replace(ROW, condition="scaling", n=1, std=0.0),
    dataclasses.replace(ROW, metric="loss", mean=1.27, std=0.04, paper=1.29),
]


def results(rows=None):
    return Results("table_a", {"seed": 0, "lr": 1e-3}, {"commit": None}, rows or ROWS)


def test_the_file_has_the_contracts_form_and_reads_back(tmp_path):
    write_results(tmp_path, results(), tables=markdown)
    content = json.loads((tmp_path / "results.json").read_text())
    assert list(content) == ["experiment", "config", "provenance", "rows"]
    assert content["rows"][0] == {
        "table": "A1",
        "model": "dcn_lstm",
        "condition": "rotation",
        "protocol": "interleaved",
        "metric": "accuracy",
        "mean": 0.9912,
        "std": 0.013,
        "n": 300,
        "paper": 0.997,
    }
    assert content["rows"][1]["paper"] is None
    assert read_results(tmp_path / "results.json") == results()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "table.md"]


def test_single_runs_and_groups_are_kept(tmp_path):
    row = Row.of_runs(
        [0.5, 0.75, 1.0], table="B2", model="sstn", condition="detail", network="small",
        protocol="unseen_subjects", group="texture", metric="accuracy",
    )  # fmt: skip
    assert (row.mean, row.std, row.n) == (0.75, pytest.approx((0.125 / 3) ** 0.5), 3)
    write_results(tmp_path, results([row]), tables=markdown)
    assert read_results(tmp_path / "results.json").rows == [row]
    assert "### B2: accuracy (%), unseen_subjects, texture" in (tmp_path / "table.md").read_text()
    other = row.over([0.25])
    assert (other.mean, other.n, other.values) == (0.25, 1, (0.25,))
    assert other.key == row.key


def test_files_of_earlier_versions_are_read(tmp_path):
    """In which a group stood behind the protocol, and a network behind the condition."""
    fields = {
        "table": "B2", "model": "sstn", "condition": "middle, middle", "protocol": "unseen_subjects, texture",
        "metric": "theta_error", "mean": 3.5, "std": 0.0, "n": 1, "paper": None,
    }  # fmt: skip
    content = {"experiment": "x", "config": {}, "provenance": {}, "rows": [fields]}
    (tmp_path / "results.json").write_text(json.dumps(content))
    (row,) = read_results(tmp_path / "results.json").rows
    assert (row.condition, row.network) == ("middle", "medium")
    assert (row.protocol, row.group) == ("unseen_subjects", "texture")
    assert (row.metric, row.values) == ("centre_distance", None)


def test_the_table_stands_beside_the_papers(tmp_path):
    write_results(tmp_path, results(), tables=markdown)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "### A1: accuracy (%), interleaved"
    assert lines[2] == "Mean ± standard deviation of 300/1 runs. In brackets the paper's number."
    assert lines[4:8] == [
        "| | dcn_lstm | lenet_lstm |",
        "|---|---|---|",
        "| rotation | 99.12 ± 1.30 [99.70] | 50.00 ± 1.30 |",
        "| scaling | 99.12 [99.70] |  |",
    ]
    assert "| rotation | 1.27 ± 0.04 [1.29] |" in lines


SPREAD, PAPER = "Mean ± standard deviation of 300 runs.", "In brackets the paper's number."


@pytest.mark.parametrize(
    ("change", "legend", "cell"),
    [
        (
            {},
            "Mean ± standard deviation of 300 runs. In brackets the paper's number.",
            "99.12 ± 1.30 [99.70]",
        ),
        ({"paper": None}, "Mean ± standard deviation of 300 runs.", "99.12 ± 1.30"),
        ({"n": 1, "std": 0.0}, "In brackets the paper's number.", "99.12 [99.70]"),
        ({"n": 1, "std": 0.0, "paper": None}, None, "99.12"),
    ],
)
def test_the_legend_tells_what_is_there(change, legend, cell):
    table = markdown([dataclasses.replace(ROW, **change)]).splitlines()
    assert table[0] == "### A1: accuracy (%), interleaved"
    assert table[2:-3] == ([legend, ""] if legend else [])
    assert table[-3:] == ["| | dcn_lstm |", "|---|---|", f"| rotation | {cell} |"]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": ""}, "table must be a non-empty string"),
        ({"condition": None}, "condition must be a non-empty string"),
        ({"mean": 99.12}, "mean must be a fraction from 0 to 1, not percent, got 99.12"),
        ({"paper": 99.7}, "paper must be a fraction"),
        ({"mean": math.nan}, "mean must be a fraction"),
        ({"metric": "loss", "mean": math.inf}, "mean must be a finite number"),
        ({"metric": "loss", "mean": "1"}, "mean must be a finite number"),
        ({"std": -0.1}, "std must be a finite number, at least 0"),
        ({"std": math.nan}, "std must be a finite number"),
        ({"n": 0}, "n must be a whole number, at least 1"),
        ({"n": 2.0}, "n must be a whole number"),
        ({"group": ""}, "group must be a non-empty string or None"),
        ({"network": 3}, "network must be a non-empty string or None"),
        ({"values": (0.5,)}, "values must be 300 finite numbers"),
        ({"n": 1, "values": (math.nan,)}, "values must be 1 finite numbers"),
    ],
)
def test_a_bad_row_is_refused(change, message):
    with pytest.raises(ValueError, match=f"Row: {message}"):
        dataclasses.replace(ROW, **change)


def test_a_cell_may_occur_once():
    with pytest.raises(ValueError, match=r"each cell once; occurring again: \[\('A1', 'interleaved'"):
        results([ROW, dataclasses.replace(ROW, mean=0.2)])
    with pytest.raises(ValueError, match="at least one"):
        Results("table_a", {}, {}, [])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"rows": [{"table": "A1"}]}', '{"rows": [3]}'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(WorkdirError, match=r"results\.json cannot be read as results"):
        read_results(path)


def test_provenance_says_what_ran_and_where(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_some_flag=3")
    found = provenance(seed=7, wall_seconds=12.345)
    assert found["seed"] == 7
    assert found["wall_seconds"] == 12.3
    assert found["packages"]["jax"] == jax.__version__
    assert found["device"].startswith("8 x ")
    assert "XLA_FLAGS='--xla_some_flag=3'" in found["settings"]
    assert found["commit"] is None or len(found["commit"].removesuffix("-dirty")) == 40
    json.dumps(found)
