"""Runs a suite of measurements into a JSON file, or makes BENCHMARKS.md of those files."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from geoattn_jax import runtime
from geoattn_jax.bench import machine, records, report
from geoattn_jax.bench.compiled import command
from geoattn_jax.bench.compiled.report import chapter
from geoattn_jax.bench.suite import SUITES, chosen, load
from geoattn_jax.files import write_text

_log = logging.getLogger("geoattn_jax.bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("geoattn_jax").setLevel(logging.INFO)
    try:
        if options.command == "report":
            write_report(options.results, options.out)
        elif options.command == command.NAME:
            command.run(options)
        else:
            run(options)
    except (OSError, ValueError) as error:
        _log.error("error: %s", error)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands: one for each suite, `compile` and `report`."""
    root = argparse.ArgumentParser(prog="python -m geoattn_jax.bench", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in SUITES:
        suite = commands.add_parser(
            name,
            help=f"run the {name} suite",
            description="Checks that all contenders agree, times them in turns and prints the tables. A full "
            "run is kept under results/bench; one with --only or --smoke only where --out says.",
        )
        suite.add_argument("--only", metavar="A,B", help="these workloads only; --list names them")
        suite.add_argument(
            "--rounds", type=int, default=9, metavar="N", help="how often to time each contender (default: 9)"
        )
        suite.add_argument(
            "--cores",
            type=int,
            metavar="N",
            help="keep to the last N of the cores allowed; choose them with taskset (default: all)",
        )
        suite.add_argument(
            "--allocator",
            choices=["tuned", "default"],
            default="tuned",
            help="glibc's settings for every contender: this package's or those found (default: tuned)",
        )
        suite.add_argument("--out", type=Path, help="JSON file to write, anew after every measurement")
        suite.add_argument(
            "--seconds",
            type=float,
            metavar="S",
            help="end the process after so long, whatever it is at (default: never)",
        )
        suite.add_argument(
            "--smoke", action="store_true", help="tiny sizes: shows that everything runs and agrees"
        )
        suite.add_argument("--list", action="store_true", help="print the workloads and stop")
    command.add_parser(commands)
    writer = commands.add_parser(
        "report",
        help="write BENCHMARKS.md",
        description="Writes BENCHMARKS.md from the JSON files of the runs.",
    )
    writer.add_argument(
        "--results", type=Path, default=records.FOLDER, help="folder of JSON files (%(default)s)"
    )
    writer.add_argument("--out", type=Path, default=Path("BENCHMARKS.md"), help="file to write (%(default)s)")
    return root


def run(options: argparse.Namespace) -> None:
    """Runs a suite as the options say, prints its tables and keeps the record."""
    # JAX would take most of a GPU's memory before PyTorch has any.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    suite = load(options.command)
    if options.list:
        print("\n".join(f"{name}  {what}" for name, what in suite.workloads.items()))
        return
    names = chosen(suite.workloads, options.only)
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    records.check_writable(options.out)
    if options.cores is not None:
        machine.pin_to_cores(options.cores)
    # May start this program over, so that nothing that takes long comes before.
    runtime.tune_cpu(allocator=options.allocator == "tuned")
    from geoattn_jax.bench.running import measured  # which asks JAX for its devices

    record = measured(
        options.command,
        suite,
        names,
        smoke=options.smoke,
        rounds=options.rounds,
        seconds=options.seconds,
        keep=lambda record: None if options.out is None else records.write(options.out, record),
    )
    print(report.times_table(record))
    print(report.parts_table(record))
    print(report.goals_table(record))
    out = options.out
    whole = not options.smoke and len(names) == len(suite.workloads) and not record["failures"]
    if out is None and whole:
        out = records.default_path(
            options.command, record["machine"]["platform"], tuned_allocator=options.allocator == "tuned"
        )
        records.write(out, record)
    if out is None:
        _log.info("not all workloads in full size, or not all measured: nothing kept (give --out to keep it)")
    else:
        _log.info("wrote %s", out)
    if record["failures"]:
        raise ValueError(f"not measured as they should be: {', '.join(record['failures'])}; see above")


def write_report(results: Path, out: Path) -> None:
    """Writes BENCHMARKS.md."""
    files = records.read_all(results)
    timed = {name: record for name, record in files.items() if record["suite"] != command.NAME}
    compiled = {name: record for name, record in files.items() if record["suite"] == command.NAME}
    suites = {record["suite"]: load(record["suite"]) for record in timed.values()}
    text = "\n".join([report.benchmarks(timed, suites), *filter(None, [chapter(compiled)])])
    write_text(out, text)
    _log.info("wrote %s", out)


if __name__ == "__main__":
    sys.exit(main())
