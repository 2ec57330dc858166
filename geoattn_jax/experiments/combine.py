r"""Combines runs of an experiment that differ in their seed alone:

  python -m geoattn_jax.experiments.combine runs/end_to_end_0 runs/end_to_end_1 runs/end_to_end_2 \
      --output results/end_to_end.json

The rows of that file hold mean and standard deviation over the runs. Beside the end-to-end experiment's come
the curves of test accuracy over time: every run's in end_to_end_curves.json, their mean in
end_to_end_curves.png.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.digits.curves import Curve, draw, read_curves
from geoattn_jax.files import write_text
from geoattn_jax.training import Results, Row, WorkdirError, read_results


class CombineError(ValueError):
    """Runs that are not each other's repetitions."""


def combine(runs: Sequence[Results]) -> Results:
    """The mean and the standard deviation of every cell over the runs, each of which counts once.

    Raises: CombineError if two runs have the same seed, or differ in anything else.
    """
    first, seeds = runs[0], [run.provenance["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        raise CombineError(f"the runs must have different seeds, got {seeds}")
    for run in runs[1:]:
        for what, before, now in (
            ("experiment", first.experiment, run.experiment),
            ("config", {**first.config, "seed": None}, {**run.config, "seed": None}),
            ("commit", first.provenance["commit"], run.provenance["commit"]),
        ):
            if before != now:
                raise CombineError(
                    f"the runs of seeds {seeds[0]} and {run.provenance['seed']} must have the same {what}, "
                    f"got {before} and {now}"
                )
    seconds = float(np.mean([run.provenance["wall_seconds"] for run in runs]))
    provenance = {**first.provenance, "seed": seeds, "wall_seconds": round(seconds, 1)}
    rows = [_combine_rows(rows) for rows in zip(*(run.rows for run in runs), strict=True)]
    return Results(first.experiment, {**first.config, "seed": seeds}, provenance, rows)


def mean_curves(runs: Sequence[dict[str, Curve]]) -> dict[str, Curve]:
    """The mean of the runs' curves, which were evaluated after the same steps."""
    return {
        name: Curve(*(np.mean(values, axis=0) for values in zip(*(run[name] for run in runs), strict=True)))
        for name in runs[0]
    }


def _combine_rows(rows: Sequence[Row]) -> Row:
    means = np.array([row.mean for row in rows])
    return dataclasses.replace(rows[0], mean=float(means.mean()), std=float(means.std()), n=len(rows))


def main(arguments: list[str] | None = None) -> int:
    """Combines the runs; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m geoattn_jax.experiments.combine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workdirs", type=Path, nargs="+", help="of finished runs")
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file to write, in an existing folder"
    )
    options = parser.parse_args(arguments)
    try:
        runs = [read_results(workdir / "results.json") for workdir in options.workdirs]
        results = combine(runs)
        curves = {}
        if results.experiment == "end_to_end":
            curves = {
                run.provenance["seed"]: read_curves(workdir, Config(run.config))
                for workdir, run in zip(options.workdirs, runs, strict=True)
            }
        _write_json(options.output, dataclasses.asdict(results))
        if curves:
            _write_curves(options.output, curves)
    except (CombineError, OSError, WorkdirError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _write_curves(output: Path, curves: Mapping[int, dict[str, Curve]]) -> None:
    """Every seed's curves, and a picture of their mean, beside the results."""
    every_curve = [
        {"seed": seed, "curve": name, "minutes": curve.minutes.tolist(), "accuracy": curve.accuracy.tolist()}
        for seed, run in curves.items()
        for name, curve in run.items()
    ]
    _write_json(output.with_name(f"{output.stem}_curves.json"), every_curve)
    draw(output.with_name(f"{output.stem}_curves.png"), mean_curves(list(curves.values())))


def _write_json(path: Path, content: Any) -> None:
    write_text(path, f"{json.dumps(content, indent=1, allow_nan=False)}\n")


if __name__ == "__main__":
    sys.exit(main())
