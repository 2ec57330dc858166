"""Imports inside the package point one way: ops <- layers <- models <- experiments (see DIRECTIONS)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "geoattn_jax"

# What each part of the package may import besides itself and the standard library of the package's root.
DIRECTIONS = {
    "ops": set(),
    "layers": {"ops"},
    "models": {"ops", "layers"},
    "data": {"ops"},
    "training": set(),
    "descriptors": {"ops"},
    "figures": {"ops", "layers", "models", "data"},
    "experiments": {"ops", "layers", "models", "data", "training", "descriptors", "figures"},
    "bench": {"ops", "layers", "models", "data", "training", "descriptors", "experiments"},
}
ROOT_MODULES = {"files", "runtime"}  # imported by anybody; they import nothing of the package


def imported_parts(source: Path, package: Path = PACKAGE) -> set[str]:
    """The parts of geoattn_jax that one source file imports; `.` stands for the package's own root."""
    here = ("geoattn_jax", *source.relative_to(package).with_suffix("").parts)
    parts = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level]] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "geoattn_jax":
                parts.add(rest.partition(".")[0] or ".")
    return parts


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


@pytest.mark.parametrize("source", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_directions(source):
    part = source.relative_to(PACKAGE).parts[0]
    assert part in DIRECTIONS, f"{part}/ is not in DIRECTIONS: say what it may import"
    allowed = DIRECTIONS[part] | ROOT_MODULES | {part}
    forbidden = imported_parts(source) - allowed
    assert not forbidden, (
        f"{source.name} in {part}/ must not import {sorted(forbidden)}; allowed: {sorted(allowed)}"
    )


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("import geoattn_jax", {"."}),
        ("from geoattn_jax import layers", {"layers"}),
        ("from geoattn_jax.models.lenet import LeNet", {"models"}),
        ("from ..layers import lstm", {"layers"}),
        ("from .grid import affine_grid", {"ops"}),
        ("import numpy", set()),
    ],
)
def test_the_reader_sees_every_form_of_import(tmp_path, line, parts):
    (tmp_path / "ops").mkdir()
    source = tmp_path / "ops" / "sample.py"
    source.write_text(line)
    assert imported_parts(source, tmp_path) == parts


def test_root_modules_import_nothing_of_the_package():
    for name in ROOT_MODULES:
        path = PACKAGE / f"{name}.py"
        if path.exists():
            assert imported_parts(path) == set()
