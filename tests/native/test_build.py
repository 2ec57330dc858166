"""The native kernels are compiled where there is a compiler, and an install never fails for want of one."""

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from geoattn_jax.native import build

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="there is no C++ compiler"
)


@pytest.fixture(autouse=True)
def as_by_default(monkeypatch):
    for variable in ("CXX", build.VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def compiler(folder: Path, script: str) -> str:
    program = folder / "compiler"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@needs_compiler
def test_what_is_compiled_can_be_loaded(tmp_path):
    file = build.compile_library(tmp_path / "new")
    assert [path.name for path in file.parent.iterdir()] == [build.LIBRARY]
    program = (
        "import pathlib, sys, geoattn_jax.native.library as it; print(it.load(pathlib.Path(sys.argv[1])))"
    )
    # In a process of its own: this one has the kernels already.
    ran = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("native kernels for ")


def test_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.CannotCompileError, match=r"there is no c\+\+ or g\+\+ or clang\+\+"):
        build.compile_library(tmp_path)


def test_the_compiler_of_the_variable_is_the_only_one_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.CannotCompileError, match="there is no no-such-compiler"):
        build.compile_library(tmp_path)


def test_the_variable_turns_it_off_and_removes_what_was_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv(build.VARIABLE, "0")
    (tmp_path / build.LIBRARY).write_text("of an earlier install")
    with pytest.raises(build.CannotCompileError, match="GEOATTN_JAX_NATIVE is 0"):
        build.compile_library(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_fails_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", compiler(tmp_path, "raise SystemExit('no such flag')"))
    with pytest.raises(build.CannotCompileError, match="compiler failed: no such flag"):
        build.compile_library(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


@pytest.fixture(scope="module")
def hatchling():
    pytest.importorskip("hatchling", reason="needs hatchling: pip install geoattn-jax[test]")


def wheel(folder: Path, **variables: str) -> tuple[Path, str]:
    """The wheel of a copy of the sources, and what was said."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "results", "tests", "runs", "dist", ".*")
    shutil.copytree(ROOT, source, ignore=ignored)
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")],
        cwd=source, env={**os.environ, **variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not list(source.rglob("*.so"))
    (file,) = (folder / "dist").glob("*.whl")
    return file, ran.stderr


@needs_compiler
@pytest.mark.usefixtures("hatchling")
def test_a_wheel_with_kernels_is_one_of_the_platform(tmp_path):
    file, _ = wheel(tmp_path)
    assert file.name.split("-")[2:4] == ["py3", "none"]
    assert not file.name.endswith("-any.whl")
    assert f"geoattn_jax/native/{build.LIBRARY}" in zipfile.ZipFile(file).namelist()


@pytest.mark.usefixtures("hatchling")
def test_a_wheel_without_kernels_is_one_for_all_and_warns(tmp_path):
    file, said = wheel(tmp_path, CXX="no-such-compiler")
    assert file.name.endswith("-py3-none-any.whl")
    assert "geoattn_jax without native kernels: no C++ compiler: there is no no-such-compiler" in said
    names = zipfile.ZipFile(file).namelist()
    assert "geoattn_jax/native/columns.cc" in names
    assert f"geoattn_jax/native/{build.LIBRARY}" not in names


@pytest.mark.parametrize("can_compile", [True, False])
def test_the_hook_compiles_an_editable_install_in_place(tmp_path, monkeypatch, can_compile):
    pytest.importorskip("hatchling", reason="needs hatchling: pip install geoattn-jax[test]")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    folders = []

    class Compiles:
        CannotCompileError = build.CannotCompileError

        @staticmethod
        def compile_library(folder):
            folders.append(folder)
            if can_compile:
                return folder / build.LIBRARY
            raise build.CannotCompileError("not in this test")

    monkeypatch.setattr(hook, "_build", lambda root: Compiles)
    builder = SimpleNamespace(get_best_matching_tag=lambda: "cp311-cp311-some_platform")
    one = hook.NativeKernels(str(ROOT), {}, SimpleNamespace(builder=builder), None, str(tmp_path), "wheel")
    data = {version: {"force_include": {}} for version in ("editable", "standard")}
    for version in data:
        one.initialize(version, data[version])
        one.finalize(version, data[version], "")
    in_place, elsewhere = folders
    assert in_place == ROOT / "geoattn_jax" / "native"
    assert not elsewhere.exists()
    of_platform = {"pure_python": False, "tag": "py3-none-some_platform"} if can_compile else {}
    included = {str(elsewhere / build.LIBRARY): f"geoattn_jax/native/{build.LIBRARY}"} if can_compile else {}
    assert data["editable"] == {"force_include": {}, **of_platform}
    assert data["standard"] == {"force_include": included, **of_platform}
