"""The six streams' runs on different folds of MPII Cooking Activities as one table."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from geoattn_jax.experiments.core.combination import (
    Combination,
    CombineError,
    FinishedRun,
    check_same,
    combine_seeds,
    mean_rows,
)
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Results
from geoattn_jax.experiments.core.resuming import with_defaults
from geoattn_jax.experiments.table_3.experiment import SixStreams, defaults_of, rules_of
from geoattn_jax.experiments.table_3.scores import RunScores, Scores, rows_of
from geoattn_jax.training import WorkdirError, read_config


def combine_streams(runs: Sequence[FinishedRun]) -> Combination:
    """Of different folds their means and their clips together; otherwise the mean over the seeds.

    Raises: CombineError if the runs differ in anything else.
    """
    folds = [run.results for run in runs]
    if len({_protocol(fold) for fold in folds}) == 1:
        return combine_seeds(runs)
    check_folds(folds)
    return Combination(combine_folds(folds, [scores_of(run) for run in runs]))


def check_folds(folds: Sequence[Results]) -> None:
    """Checks that runs are of different folds, and differ in nothing else.

    Raises: CombineError.
    """
    protocols = [_protocol(fold) for fold in folds]
    if len(set(protocols)) < len(protocols) or not all(name.startswith("fold_") for name in protocols):
        raise CombineError(f"the runs' config.data.protocol must be different folds, got {protocols}")
    for fold in folds[1:]:
        check_same("the runs", *(_without_fold(one) for one in (folds[0], fold)), without={})


def scores_of(run: FinishedRun) -> list[RunScores]:
    """The scores of a finished run's test clips, for each seed, from the features in its workdir.

    Raises: WorkdirError if a training is not finished, or the workdir has gone on under another config since.
    """
    if read_config(run.workdir) != run.results.config:
        raise WorkdirError(
            f"{run.workdir} was given another config after its results.json was written; "
            f"run train.py on it to the end, then combine"
        )
    config = with_defaults(run.results.config, rules_of, defaults_of)
    # As for training, of which nothing is left to do: so the features are read instead of extracted.
    fitting = Fitting(config, run.workdir.absolute(), trains=True)
    experiment = SixStreams.prepare(config, fitting)
    fitting.check_finished(experiment.plan)
    return list(experiment.measure().values())


def combine_folds(folds: Sequence[Results], scores: Sequence[Sequence[RunScores]]) -> Results:
    """One table of several folds.

    Args:
      folds: the results of each.
      scores: of each, for each seed; see `scores_of`.
    """
    rows = mean_rows([fold.rows for fold in folds])
    pooled = [_pooled(runs) for runs in zip(*scores, strict=True)]
    for row in rows_of({}, pooled):
        if row.metric == "mean_average_precision":
            rows.append(dataclasses.replace(row, metric="pooled_mean_average_precision"))
    protocols = [_protocol(fold) for fold in folds]
    config = {**folds[0].config, "data": {**folds[0].config["data"], "protocol": protocols}}
    seconds = sum(fold.provenance["wall_seconds"] for fold in folds)
    provenance = {**folds[0].provenance, "wall_seconds": round(seconds, 1)}
    return Results(folds[0].experiment, config, provenance, rows)


def _protocol(fold: Results) -> str:
    return fold.config.get("data", {}).get("protocol", "")


def _without_fold(fold: Results) -> Results:
    data = {**fold.config["data"], "protocol": None}
    return dataclasses.replace(fold, config={**fold.config, "data": data})


def _pooled(folds: Sequence[RunScores]) -> RunScores:
    return {
        cell: Scores(*map(np.concatenate, zip(*(fold[cell] for fold in folds), strict=True)))
        for cell in folds[0]
    }
