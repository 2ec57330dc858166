"""The part of BENCHMARKS.md on programs that were compiled and not run."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from geoattn_jax.bench.report import commit_words, number, table

METHOD = """\
## Compiled, not run

Nothing below was timed, and no such device was there. XLA compiled each program for it, and its output was
read.

- *Cycles*, in millions, are the TPU compiler's **estimate** for a device, loops multiplied by their trips. It
  estimates no gather, no scatter, nothing that runs on a SparseCore (v5p, v6e), no copy that overlaps with
  computation and no collective. The compiler for GPUs estimates no time; there *launches* are the
  instructions that run one after another, about the number of kernels, multiplied likewise.
- *GFLOP* are those of matrix products and convolutions as the program is written, over all devices. *MiB
  moved* is what the compiled program's instructions read and write on a device, from their shapes. Both are
  counted here, loops multiplied by their trips.
- *Gathered* and *scattered* are their indices, in millions, multiplied likewise. A loop that goes *index by
  index* is what a compiler makes of a scatter or gather that the device cannot do at once.
- *Temporary* and *argument* memory, of a device, are the compiler's own numbers.
- Images and kernels are of the dtype given, positions always float32. *forward+backward* is that of the
  kernels' timings; a *training step* is the training loop's own, its batch split over the devices.
"""

_MIB, _MILLION = 2**20, 1e6


def chapter(files: Mapping[str, dict[str, Any]]) -> str:
    """What all records have in common, and a section on each; "" without any.

    Args:
      files: the records by file name.
    """
    if not files:
        return ""
    workloads: dict[str, str] = {}
    for record in files.values():
        workloads |= record["workloads"]
    whats = "\n".join(f"- **{name}**: {what}" for name, what in workloads.items())
    sections = [_section(name, record) for name, record in sorted(files.items())]
    return "\n".join([METHOD, whats + "\n", *sections])


def _section(file_name: str, record: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    loops = loops_table(record)
    parts = [
        f"### {record['device']}, {record['topology']}",
        f"`{record['command']}` on {record['date']} (`{file_name}`).\n"
        f"Versions: {versions}; {commit_words(record)}.",
        costs_table(record).rstrip(),
        *(["Loops:", loops.rstrip()] if loops else []),
    ]
    return "\n\n".join(parts) + "\n"


def costs_table(record: dict[str, Any]) -> str:
    """Every program's costs; of one that failed why."""
    on_tpu = record["platform"] == "tpu"
    header = [
        "", "mode", "dtype", "devices", "M cycles" if on_tpu else "launches", "M gathered", "M scattered",
        "GFLOP", "MiB moved", "temporary MiB", "argument MiB", "collectives",
    ]  # fmt: skip
    rows = []
    for row in record["results"]:
        start = [row["workload"], row["mode"], row["dtype"], str(row["devices"])]
        if "error" in row:
            rows.append([*start, f"failed: {row['error']}", *[""] * (len(header) - 5)])
            continue
        collectives = ", ".join(f"{count} {kind}" for kind, count in row["collectives"].items())
        numbers = [
            (row["cycles"] or 0) / _MILLION if on_tpu else float(row["launches"]),
            row["gathered_indices"] / _MILLION,
            row["scattered_indices"] / _MILLION,
            row["flops"] / 1e9,
            row["bytes"] / _MIB,
            row["temporary_bytes"] / _MIB,
            row["argument_bytes"] / _MIB,
        ]
        float64 = ["computes in float64"] if row["float64"] else []
        rows.append([*start, *map(number, numbers), "; ".join([collectives, *float64]).strip("; ")])
    return table(header, rows)


def loops_table(record: dict[str, Any]) -> str:
    """The loops of every program that has some; "" if none has."""
    rows = []
    for row in record["results"]:
        for loop, count in Counter(map(_loop_words, row.get("loops", []))).items():
            rows.append([row["workload"], row["mode"], row["dtype"], str(row["devices"]), str(count), *loop])
    header = ["", "mode", "dtype", "devices", "loops", "made from", "times reached", "trips", "contains"]
    return table(header, rows) if rows else ""


def _loop_words(loop: Mapping[str, Any]) -> tuple[str, ...]:
    trips = "unknown" if loop["trips"] is None else f"{loop['trips']:,}"
    inside = [f"{loop[kind]} {kind}" for kind in ("scatters", "gathers") if loop[kind]]
    kind = "**index by index**" if loop["index_by_index"] else ", ".join(inside)
    return loop["from"] or "unknown", f"{loop['times']:,}", trips, kind
