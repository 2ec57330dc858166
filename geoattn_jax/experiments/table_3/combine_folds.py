r"""Combines the six streams' runs on the seven folds of MPII Cooking Activities:

  python -m geoattn_jax.experiments.table_3.combine_folds runs/mpii_fold_1 runs/mpii_fold_2 runs/mpii_fold_3 \
      runs/mpii_fold_4 runs/mpii_fold_5 runs/mpii_fold_6 runs/mpii_fold_7 --output results/table_b3_mpii.json

In the file, `mean_average_precision` and `accuracy` are means and standard deviations over the folds, and
`pooled_mean_average_precision` is that of the test clips of all folds together. The test clips are classified
anew, from the features in the workdirs.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_3.experiment import Cell, Scores, SixStreams, rows_of
from geoattn_jax.files import write_text
from geoattn_jax.training import Results, Row, WorkdirError, read_results

RunScores = Mapping[Cell, Scores]


class FoldsError(ValueError):
    """Runs that are not those of different folds."""


def scores_of(workdir: Path, results: Results) -> list[RunScores]:
    """The scores of a finished run's test clips, for each seed."""
    experiment = SixStreams.prepare(Config(results.config))
    # As for training, of which nothing is left to do: so the features are read instead of extracted.
    for _ in experiment.rows(Fitting(experiment.config, workdir, trains=True)):
        pass
    return list(experiment.scores.values())


def combine_folds(folds: Sequence[Results], scores: Sequence[Sequence[RunScores]]) -> Results:
    """One table of several folds.

    Args:
      folds: the results of each.
      scores: of each, for each seed; see `scores_of`.

    Raises: FoldsError if two runs have the same fold, or differ in anything else.
    """
    protocols = [fold.config.get("data", {}).get("protocol", "") for fold in folds]
    if len(set(protocols)) < len(protocols) or not all(name.startswith("fold_") for name in protocols):
        raise FoldsError(f"the runs' config.data.protocol must be different folds, got {protocols}")
    for fold in folds[1:]:
        for what, before, now in (
            ("config", _without_fold(folds[0]), _without_fold(fold)),
            ("commit", folds[0].provenance["commit"], fold.provenance["commit"]),
        ):
            if before != now:
                raise FoldsError(f"the runs must have the same {what}, got {before} and {now}")
    rows = [_mean(rows) for rows in zip(*(fold.rows for fold in folds), strict=True)]
    pooled = [_pooled(runs) for runs in zip(*scores, strict=True)]
    for row in rows_of({}, pooled):
        if row.metric == "mean_average_precision":
            rows.append(dataclasses.replace(row, metric="pooled_mean_average_precision"))
    config = {**folds[0].config, "data": {**folds[0].config["data"], "protocol": protocols}}
    seconds = sum(fold.provenance["wall_seconds"] for fold in folds)
    provenance = {**folds[0].provenance, "wall_seconds": round(seconds, 1)}
    return Results(folds[0].experiment, config, provenance, rows)


def _without_fold(results: Results) -> dict:
    return {**results.config, "data": {**results.config["data"], "protocol": None}}


def _mean(rows: Sequence[Row]) -> Row:
    means = np.array([row.mean for row in rows])
    return dataclasses.replace(rows[0], mean=float(means.mean()), std=float(means.std()), n=len(rows))


def _pooled(folds: Sequence[RunScores]) -> dict[Cell, Scores]:
    return {
        cell: Scores(*map(np.concatenate, zip(*(fold[cell] for fold in folds), strict=True)))
        for cell in folds[0]
    }


def main(arguments: list[str] | None = None) -> int:
    """Combines the runs; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m geoattn_jax.experiments.table_3.combine_folds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workdirs", type=Path, nargs="+", help="of finished runs, a fold each")
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file to write, in an existing folder"
    )
    options = parser.parse_args(arguments)
    try:
        folds = [read_results(workdir / "results.json") for workdir in options.workdirs]
        scores = [scores_of(workdir, fold) for workdir, fold in zip(options.workdirs, folds, strict=True)]
        results = combine_folds(folds, scores)
        write_text(options.output, f"{json.dumps(dataclasses.asdict(results), indent=1, allow_nan=False)}\n")
    except (FoldsError, OSError, WorkdirError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
