"""Imports inside the package point one way: ops <- layers <- models <- experiments (see DIRECTIONS)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "geoattn_jax"

# What each part of the package may import besides itself and the standard library of the package's root.
DIRECTIONS = {
    "native": set(),
    "ops": {"native"},
    "layers": {"ops"},
    "models": {"ops", "layers"},
    "data": {"ops"},
    "training": set(),
    "descriptors": {"ops"},
    "figures": {"ops", "layers", "models", "data"},
    "experiments": {"native", "ops", "layers", "models", "data", "training", "descriptors", "figures"},
    "bench": {"native", "ops", "layers", "models", "data", "training", "descriptors", "experiments"},
}
# Likewise the rooms of experiments/; its own modules, such as the registry, may import all of them.
ROOMS = {
    "core": set(),
    "digits": {"core"},
    "attention": {"core"},
    "table_2": {"core", "attention"},
    "table_3": {"core", "attention"},
}
ROOT_MODULES = {"files", "runtime"}  # imported by anybody; they import nothing of the package


def imported_names(source: Path, package: Path = PACKAGE) -> set[str]:
    """What one source file imports, by its whole name."""
    here = ("geoattn_jax", *source.relative_to(package).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level]] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= set(names)
    return found


def imported_parts(source: Path, package: Path = PACKAGE, inside: str = "geoattn_jax") -> set[str]:
    """The parts of a package that one source file imports; `.` stands for the package's own root."""
    names = [f"{name}." for name in imported_names(source, package)]
    return {
        name.removeprefix(f"{inside}.").partition(".")[0] or "."
        for name in names
        if name.startswith(f"{inside}.")
    }


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


EXPERIMENTS = PACKAGE / "experiments"


@pytest.mark.parametrize(
    "source",
    [source for source in sources() if source.is_relative_to(EXPERIMENTS)],
    ids=lambda path: str(path.relative_to(EXPERIMENTS)),
)
def test_imports_between_rooms_follow_the_directions(source):
    room, *inner = source.relative_to(EXPERIMENTS).parts
    if not inner:
        return
    assert room in ROOMS, f"{room}/ is not in ROOMS: say what it may import"
    forbidden = imported_parts(source, inside="geoattn_jax.experiments") - ROOMS[room] - {room}
    assert not forbidden, f"{source.name} in {room}/ must not import {sorted(forbidden)}"


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
