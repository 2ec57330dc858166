"""`python -m geoattn_jax.bench compile`, and what it adds to BENCHMARKS.md."""

import argparse
import datetime
import logging
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from geoattn_jax.bench import machine, records
from geoattn_jax.bench.compiled import report
from geoattn_jax.bench.suite import chosen

NAME = "compile"
DEFAULTS = {"tpu": "v5e:2x2", "cuda": "h100"}
PACKAGES = ("jax", "jaxlib", "flax", "libtpu", "jax-cuda13-plugin", "jax-cuda12-plugin")

_log = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Adds the command to others."""
    parser = commands.add_parser(
        NAME,
        help="compile the kernels and training steps for a TPU or GPU that is not there",
        description="Compiles every workload for an accelerator that is only described, runs nothing, and "
        "writes what the programs would do. A full run is kept under results/bench; one with --only only "
        "where --out says.",
    )
    parser.add_argument("--platform", choices=list(DEFAULTS), required=True)
    parser.add_argument(
        "--topology", metavar="NAME", help=f"which accelerator, and how many (default: {DEFAULTS})"
    )
    parser.add_argument("--only", metavar="A,B", help="these workloads only; --list names them")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--list", action="store_true", help="print the workloads and stop")


def run(options: argparse.Namespace) -> None:
    """Compiles, prints the tables and keeps the record.

    Raises: ValueError naming the option that is wrong.
    """
    import jax

    # The device that is compiled for is described, not used; this machine's own is left alone.
    jax.config.update("jax_platforms", "cpu")
    # Here, for importing them takes seconds and --help should not.
    from geoattn_jax.bench.compiled import compilation, target
    from geoattn_jax.bench.compiled.programs import WORKLOADS
    from geoattn_jax.experiments.core.provenance import commit

    if options.list:
        print("\n".join(f"{name}  {workload.what}" for name, workload in WORKLOADS.items()))
        return
    names = chosen(WORKLOADS, options.only)
    records.check_writable(options.out)
    topology = options.topology or DEFAULTS[options.platform]
    devices = target.devices_of(options.platform, topology)
    record = {
        "suite": NAME,
        "command": shlex.join(["python", "-m", "geoattn_jax.bench", *sys.argv[1:]]),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "platform": options.platform,
        "topology": topology,
        "device": devices[0].device_kind,
        "versions": {"python": platform.python_version(), **machine.versions(PACKAGES)},
        "workloads": {name: WORKLOADS[name].what for name in names},
        "results": list(compilation.measured(names, devices)),
    }
    print(report.costs_table(record))
    print(report.loops_table(record))
    out = options.out
    if out is None and len(names) == len(WORKLOADS):
        out = records.FOLDER / f"{NAME}-{options.platform}-{topology.replace(':', '-')}.json"
    if out is None:
        _log.info("not all workloads: nothing kept (give --out to keep it)")
    else:
        records.write(out, record)
        _log.info("wrote %s", out)
