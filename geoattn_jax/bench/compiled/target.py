"""Accelerators that a program can be compiled for where there is none."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Literal

import jax
from jax.experimental import topologies

Platform = Literal["tpu", "cuda"]

EXAMPLES = {"tpu": "v5e:2x2, v4:2x2x1, v5p:2x2x1 or v6e:2x2", "cuda": "h100 or h100:4"}

# What XLA must know of a GPU that it cannot ask (xla.gpu.GpuTargetConfigProto). Of NVIDIA's H100 SXM5 from
# its data sheet and, for compute capability 9.0, the CUDA C++ Programming Guide.
_H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 }
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 85899345920
  memory_bandwidth: 3352000000000
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
"""
_GPUS = {"h100": _H100}

# libtpu looks for the machine's own TPU when it is loaded. It lets one process in, as a TPU serves one, which
# to compile need not be so; and it complains where it finds none, unless it is told of one.
_WITHOUT_TPU = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


def why_missing(platform: Platform) -> str | None:
    """What to install to compile for a platform; None if it is there."""
    if platform == "tpu":
        return None if importlib.util.find_spec("libtpu") else 'pip install -e ".[tpu-compile]"'
    plugins = [f"jax_plugins.xla_cuda{version}" for version in (12, 13)]
    if importlib.util.find_spec("jax_plugins") and any(map(importlib.util.find_spec, plugins)):
        return None
    return 'pip install "jax[cuda13]" (several gigabytes)'


def devices_of(platform: Platform, topology: str) -> list[jax.Device]:
    """The devices of an accelerator that is only described: programs are compiled for them, not run.

    Args:
      platform: "tpu" or "cuda".
      topology: which one and how many of them, such as "v5e:2x2" or "h100:4".

    Raises: ValueError if the compiler is not installed or does not know the topology.
    """
    missing = why_missing(platform)
    if missing:
        raise ValueError(f"--platform {platform}: its compiler is not installed; {missing}")
    describe: Callable[[str], Sequence[jax.Device]] = _tpus if platform == "tpu" else _gpus
    try:
        return list(describe(topology))
    except (KeyError, ValueError, jax.errors.JaxRuntimeError) as error:
        raise ValueError(
            f"--topology must be one of {platform}'s, such as {EXAMPLES[platform]}, "
            f"got {topology!r} ({error})"
        ) from error


def _tpus(topology: str) -> Sequence[jax.Device]:
    for name, value in _WITHOUT_TPU.items():
        os.environ.setdefault(name, value)
    return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices


def _gpus(topology: str) -> Sequence[jax.Device]:
    name, _, count = topology.partition(":")
    return topologies.get_topology_desc(
        name, platform="cuda", topology=f"1x1x{int(count or 1)}", target_config=_GPUS[name]
    ).devices
