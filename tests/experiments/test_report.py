"""README's numbers are those of the JSON files."""

import dataclasses
import re
from pathlib import Path

import pytest

from geoattn_jax.experiments.core.results import Results, Row, read_results, write_results
from geoattn_jax.experiments.core.tables import markdown
from geoattn_jax.experiments.report import filled, main, summary
from geoattn_jax.experiments.table_2 import layout as table_2
from geoattn_jax.experiments.table_3 import layout as table_3
from geoattn_jax.training import WorkdirError

ROOT = Path(__file__).parents[2]
DOCUMENT = """# Title
<!-- results: small -->
| old |
<!-- /results -->
text
"""


@pytest.fixture
def folder(tmp_path):
    row = Row(
        "A1", "lenet_lstm", "normal", "interleaved", "accuracy", mean=0.9712, std=0.01, n=3, paper=0.9796
    )
    packages = {"python": "3.12.1", "jax": "0.10.2"}
    provenance = {"packages": packages, "device": "CPU", "seed": 4, "wall_seconds": 330.0}
    results = Results("two_stage", {}, provenance, [row, dataclasses.replace(row, metric="loss")])
    write_results(tmp_path, results, tables=markdown)
    (tmp_path / "results.json").rename(tmp_path / "small.json")
    return tmp_path


def test_a_block_is_replaced_by_its_results(folder):
    text = filled(DOCUMENT, folder)
    assert "97.12 ± 1.00 [97.96]" in text
    assert "5.5 minutes on CPU (python 3.12.1, jax 0.10.2), seed 4" in text
    assert "| old |" not in text
    assert text.startswith("# Title\n<!-- results: small -->\n")
    assert text.endswith("<!-- /results -->\ntext\n")
    assert filled(text, folder) == text


def attention_rows(level, network, models):
    """Accuracies that tell where a cell comes from: 0.1 and 0.2 for the classes, 0.3 and 0.4 for texture."""
    measures = table_2.ACCURACY, table_2.MEASURES["on texture"]
    return [
        Row.of_runs(
            3 * [0.1 * (1 + number + 2 * place)],
            table="B2",
            model=model,
            condition=level,
            network=network,
            **measure._asdict(),
        )
        for place, measure in enumerate(measures)
        for number, model in enumerate(models)
    ]


def test_table_2_comes_before_the_measures_of_conditions_with_more_models():
    few = attention_rows("detail", "large", ["sstn"])
    more = attention_rows("detail", "small", ["sstn", "oracle"])
    first, second = table_2.tables(few + more).split("### ")[1:]
    assert first.startswith("B2: accuracy (%), unseen_subjects\n")
    assert "| | sstn |" in first
    assert "| detail, large | 10.00 ± 0.00 |" in first
    assert "| detail, small | 10.00 ± 0.00 |" in first
    assert second.startswith("B2: detail, small\n")
    assert "| | accuracy (%) | on texture (%) |" in second
    assert "| oracle | 20.00 ± 0.00 | 40.00 ± 0.00 |  |" in second


def test_a_single_condition_shows_its_measures():
    assert "### B2: detail, small" in table_2.tables(attention_rows("detail", "small", ["sstn"]))


def test_table_3_has_levels_down_and_streams_across():
    rows = [
        Row("B3", model, level, protocol, metric, 0.01 * number, 0.0, n=1, paper=paper, group=group)
        for number, (protocol, group, metric, level, model, paper) in enumerate(
            [
                ("spatial", None, "mean_average_precision", "detail", "sstn", 0.5275),
                ("spatial", None, "mean_average_precision", "detail", "hard_coded", 0.514),
                ("spatial", None, "mean_average_precision", "late_fusion", "sstn", 0.5608),
                ("spatial", None, "mean_average_precision", "late_fusion", "hard_coded", 0.5506),
                ("temporal", None, "mean_average_precision", "detail", "sstn", 0.5907),
                ("temporal", None, "mean_average_precision", "late_fusion", "sstn", 0.6083),
                ("spatial", "motion", "mean_average_precision", "detail", "sstn", None),
                ("temporal", None, "accuracy", "detail", "sstn", None),
            ]
        )
    ]
    first, motion, accuracy = table_3.tables(rows).split("### ")[1:]
    assert first.splitlines() == [
        "B3: mean_average_precision (%)",
        "",
        "In brackets the paper's number.",
        "",
        "| | spatial R_d | spatial R_h | temporal R_d |",
        "|---|---|---|---|",
        "| detail | 0.00 [52.75] | 1.00 [51.40] | 4.00 [59.07] |",
        "| late_fusion | 2.00 [56.08] | 3.00 [55.06] | 5.00 [60.83] |",
        "",
    ]
    assert motion.startswith("B3: mean_average_precision (%), classes told by motion\n\n| | spatial R_d |")
    assert accuracy.startswith("B3: accuracy (%)\n\n| | temporal R_d |\n|---|---|\n| detail | 7.00 |")


def test_several_seeds_are_told(folder):
    results = read_results(folder / "small.json")
    combined = dataclasses.replace(results, provenance=results.provenance | {"seed": [4, 7]})
    assert "(python 3.12.1, jax 0.10.2), a run, the mean of the seeds 4, 7." in summary(combined)


def test_a_missing_file_is_named(folder, capsys):
    (folder / "small.json").unlink()
    with pytest.raises(WorkdirError, match=r"small\.json"):
        filled(DOCUMENT, folder)
    document = folder / "README.md"
    document.write_text(DOCUMENT)
    assert main(["--readme", str(document), "--results", str(folder)]) == 1
    assert "small.json" in capsys.readouterr().err
    assert document.read_text() == DOCUMENT


def test_readme_holds_what_the_files_hold():
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"^<!-- results: (\S+) -->", text, re.MULTILINE)
    assert filled(text, ROOT / "results") == text
