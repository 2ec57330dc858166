"""README's example runs as it stands, and CONTRIBUTING names what is there."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def test_the_example_has_the_shapes_that_its_comments_give():
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    assert names["features"].shape == (8, 56, 48, 32)
    assert names["regions"].shape == (8, 32, 32, 16)
    assert names["theta"].shape == (8, 2, 3)
    for comment in ("# (8, 56, 48, 32)", "# (8, 32, 32, 16), (8, 2, 3)"):
        assert comment in code


def test_contributing_names_files_that_exist():
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert len(named) > 10
    missing = {name for name in named - {"layout.py", "published.py"} if not (ROOT / name).exists()}
    assert [name for name in missing if not (ROOT / "geoattn_jax" / name).exists()] == []


def test_the_quickstart_in_bfloat16_stays_within_the_spread():
    whole, half = (
        {
            (row["protocol"], row["model"], row["condition"], row["metric"]): row
            for row in json.loads((ROOT / "results" / f"{name}.json").read_text())["rows"]
            if row["table"] == "A1"
        }
        for name in ("quickstart", "quickstart_bfloat16")
    )
    assert len(half) == 24
    for key, row in half.items():
        assert abs(row["mean"] - whole[key]["mean"]) <= whole[key]["std"]
