"""The CPU settings: nothing the user has set is changed, and they reach the process."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from geoattn_jax import runtime

PROGRAM = """
import logging, os, sys
logging.basicConfig()
logging.getLogger("geoattn_jax").setLevel({level!r})
from geoattn_jax import runtime
print("start", os.getpid(), sys.argv[1:], flush=True)
runtime.tune_cpu(allocator={allocator})
import jax.numpy as jnp
print("end", os.getpid(), jnp.ones(3).sum(), flush=True)
"""
TUNING_VARIABLES = (
    "XLA_FLAGS",
    "GLIBC_TUNABLES",
    "MALLOC_TRIM_THRESHOLD_",
    "LD_PRELOAD",
    "GEOATTN_JAX_TUNED",
)


def run(allocator=True, level="DEBUG", **environment):
    """Runs PROGRAM with these variables and none of the developer's own settings."""
    inherited = {name: value for name, value in os.environ.items() if name not in TUNING_VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(allocator=allocator, level=level), "an argument", "--flag=1"],
        env={**inherited, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def accepts_all(flag):
    return True


def accepts_none(flag):
    return False


def test_an_untouched_environment_gets_both():
    additions = runtime.settings({}, allocator=True, xla_accepts=accepts_all)
    assert additions == {"XLA_FLAGS": runtime.XLA_FLAG, "GLIBC_TUNABLES": runtime.GLIBC_TUNABLES}


def test_flags_of_the_user_are_kept_beside_ours():
    additions = runtime.settings({"XLA_FLAGS": "--xla_a=1"}, allocator=False, xla_accepts=accepts_all)
    assert additions == {"XLA_FLAGS": f"--xla_a=1 {runtime.XLA_FLAG}"}


@pytest.mark.parametrize(
    "environment",
    [
        {"GLIBC_TUNABLES": "glibc.malloc.arena_max=3"},
        {"MALLOC_TRIM_THRESHOLD_": "1000"},
        {"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"},
    ],
)
def test_an_allocator_of_the_users_choice_is_left_alone(environment):
    assert runtime.settings(environment, allocator=True, xla_accepts=accepts_none) == {}


def test_the_users_value_of_our_own_flag_is_left_alone():
    flags = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_ELTWISE"
    assert runtime.settings({"XLA_FLAGS": flags}, allocator=False, xla_accepts=accepts_all) == {}


def test_a_flag_that_this_jaxlib_lacks_is_not_set():
    assert runtime.settings({}, allocator=False, xla_accepts=accepts_none) == {}
    assert not runtime.xla_accepts("--xla_cpu_no_such_flag=1")
    assert runtime.xla_accepts("")


@pytest.mark.parametrize(("platforms", "cpu"), [("cpu", True), ("cuda", False), ("tpu,cpu", False)])
def test_jax_platforms_decides(platforms, cpu):
    assert runtime.uses_cpu({"JAX_PLATFORMS": platforms}) is cpu


def install(monkeypatch, *, libtpu=False, plugins=()):
    """Pretends that these drivers of accelerators are installed, and no others."""
    found = [EntryPoint(name, "a.module", "jax_plugins") for name in plugins]
    monkeypatch.setattr(runtime.importlib.metadata, "entry_points", lambda *, group: found)
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: libtpu or None)


def add_pci_device(root, name, **files):
    folder = root / "sys/bus/pci/devices" / name
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_text(content + "\n")


def test_packages_without_a_device_leave_the_cpu(monkeypatch, tmp_path):
    install(monkeypatch, libtpu=True, plugins=["xla_cuda13"])
    add_pci_device(tmp_path, "0000:00:01.0", vendor="0x8086", **{"class": "0x120000"})
    add_pci_device(tmp_path, "0000:00:02.0", vendor="0x1ae0", **{"class": "0x020000"})  # Google's network
    add_pci_device(tmp_path, "0000:00:03.0", vendor="0x1ae0", **{"class": "0x010802"})  # Google's disk
    assert runtime.uses_cpu({}, root=tmp_path)


@pytest.mark.parametrize("device", ["dev/accel0", "dev/vfio/0"])
def test_a_tpu_is_told_by_its_device_file(monkeypatch, tmp_path, device):
    (tmp_path / device).parent.mkdir(parents=True)
    (tmp_path / device).touch()
    install(monkeypatch, libtpu=True)
    assert not runtime.uses_cpu({}, root=tmp_path)
    install(monkeypatch)
    assert runtime.uses_cpu({}, root=tmp_path)


def test_a_tpu_is_told_by_its_vendor(monkeypatch, tmp_path):
    install(monkeypatch, libtpu=True)
    add_pci_device(tmp_path, "0000:00:04.0", vendor="0x1ae0", **{"class": "0xff0000"})
    assert not runtime.uses_cpu({}, root=tmp_path)


def test_a_tpu_that_jax_is_told_to_start_is_believed(monkeypatch, tmp_path):
    install(monkeypatch, libtpu=True)
    assert not runtime.uses_cpu({"JAX_FORCE_TPU_INIT": "1"}, root=tmp_path)


@pytest.mark.parametrize("device", ["dev/nvidia0", "dev/nvidiactl", "dev/dxg"])
def test_an_nvidia_gpu_is_told_by_its_device_file(monkeypatch, tmp_path, device):
    (tmp_path / "dev").mkdir()
    (tmp_path / device).touch()
    install(monkeypatch, plugins=["xla_cuda12"])
    assert not runtime.uses_cpu({}, root=tmp_path)
    install(monkeypatch)
    assert runtime.uses_cpu({}, root=tmp_path)


def test_another_accelerators_plugin_decides_otherwise(monkeypatch, tmp_path):
    install(monkeypatch, plugins=["xla_cuda13", "metal"])
    assert not runtime.uses_cpu({}, root=tmp_path)


def test_an_accelerator_is_left_alone(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    before = dict(os.environ)
    runtime.tune_cpu()
    assert dict(os.environ) == before


@pytest.mark.skipif(runtime.platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_the_program_starts_over_once_with_the_same_arguments():
    result = run()
    start, again, end = result.stdout.splitlines()
    assert start == again
    assert "['an argument', '--flag=1']" in start
    assert end.split()[:2] == ["end", start.split()[1]]
    assert result.stderr.count("CPU settings") == 1
    assert f"GLIBC_TUNABLES='{runtime.GLIBC_TUNABLES}'" in result.stderr


def test_without_the_allocator_the_program_goes_on():
    result = run(allocator=False)
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["start", "end"]
    assert "CPU settings: XLA_FLAGS=" in result.stderr


def test_the_settings_are_not_shown_unless_asked_for():
    assert "CPU settings" not in run(level="INFO").stderr
