"""Compiles the workloads for an accelerator that is not there, and says what became of them."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from geoattn_jax.bench.compiled import hlo
from geoattn_jax.bench.compiled.costs import costs, uses_float64
from geoattn_jax.bench.compiled.flops import product_flops
from geoattn_jax.bench.compiled.programs import WORKLOADS, Compilation, Devices

_log = logging.getLogger(__name__)


def measured(names: Sequence[str], devices: Devices) -> Iterator[dict[str, Any]]:
    """A row of the record for each program of the named workloads, one after another."""
    for name in names:
        for program in WORKLOADS[name].programs(name, devices):
            start = time.perf_counter()
            row = compiled(program)
            seconds = time.perf_counter() - start
            _log.info("%s %s %s: compiled in %.0f s", name, program.mode, program.dtype, seconds)
            yield row


def compiled(program: Compilation) -> dict[str, Any]:
    """What one program does when it is compiled; with "error" in place of that if it cannot be."""
    row = {
        "workload": program.workload,
        "mode": program.mode,
        "dtype": program.dtype,
        "devices": program.devices,
    }
    lowered = program.lower()
    try:
        executable = lowered.compile()
        text = executable.as_text()
    except jax.errors.JaxRuntimeError as error:
        return {**row, "error": str(error).partition("\n")[0]}
    memory = executable.memory_analysis()
    return {
        **row,
        **described(lowered.as_text(dialect="hlo"), text),
        "temporary_bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
    }


def described(lowered: str, executable: str) -> dict[str, Any]:
    """What a program does, from its texts before and after it is compiled."""
    written = hlo.parse(lowered)
    found = costs(hlo.parse(executable))
    return {
        "flops": product_flops(written),
        "bytes": found.bytes,
        "cycles": found.cycles,
        "gathered_indices": found.gathered,
        "scattered_indices": found.scattered,
        "launches": found.launches,
        "collectives": found.collectives,
        # A TPU's compiler has already put pairs of float32 in the place of float64.
        "float64": uses_float64(written),
        "loops": [
            {
                "from": loop.source,
                "times": loop.times,
                "trips": loop.trips,
                "index_by_index": loop.takes_index_by_index,
                "scatters": loop.count("scatter"),
                "gathers": loop.count("gather"),
            }
            for loop in found.loops
        ],
    }
