"""Table 1 as it is shown: both protocols side by side, the paper's numbers beside same_frames."""

from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.tables import markdown
from geoattn_jax.experiments.digits.layout import EXPLANATION, tables


def row(model, condition, protocol, mean, *, table="A1", paper=None):
    return Row.of_runs(
        [mean, mean],
        table=table,
        model=model,
        condition=condition,
        protocol=protocol,
        metric="accuracy",
        paper=paper,
    )


ROWS = [
    row("dcn", "scaled_digits", "new_digits", 0.7, table="pretraining"),
    row("lenet_lstm", "normal", "same_frames", 0.92, paper=0.98),
    row("lenet_lstm", "normal", "interleaved", 0.9),
    row("lenet_lstm", "scaling", "same_frames", 0.93, paper=0.96),
    row("lenet_lstm", "scaling", "interleaved", 0.91),
    row("dcn_lstm", "normal", "same_frames", 0.98, paper=0.99),
    row("dcn_lstm", "normal", "interleaved", 0.96),
]


def test_protocols_stand_side_by_side_and_models_of_a_condition_together():
    text = tables(ROWS)
    assert EXPLANATION in text
    _, found = text.split("### A1: accuracy (%)\n")
    assert [line for line in found.splitlines() if line.startswith("|")] == [
        "| | same_frames | interleaved |",
        "|---|---|---|",
        "| normal, lenet_lstm | 92.00 ± 0.00 [98.00] | 90.00 ± 0.00 |",
        "| normal, dcn_lstm | 98.00 ± 0.00 [99.00] | 96.00 ± 0.00 |",
        "| scaling, lenet_lstm | 93.00 ± 0.00 [96.00] | 91.00 ± 0.00 |",
    ]
    assert "### pretraining: accuracy (%), new_digits" in text


def test_one_protocol_has_models_across():
    for protocol in ("same_frames", "interleaved"):
        alone = [one for one in ROWS if one.protocol == protocol]
        assert tables(alone) == markdown(alone)
