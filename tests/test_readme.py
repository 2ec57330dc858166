"""README's example runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_example_has_the_shapes_that_its_comments_give():
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    assert names["features"].shape == (8, 56, 48, 32)
    assert names["regions"].shape == (8, 32, 32, 16)
    assert names["theta"].shape == (8, 2, 3)
    for comment in ("# (8, 56, 48, 32)", "# (8, 32, 32, 16), (8, 2, 3)"):
        assert comment in code
