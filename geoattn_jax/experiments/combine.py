r"""Combines several runs of an experiment into one table:

  python -m geoattn_jax.experiments.combine runs/end_to_end_0 runs/end_to_end_1 runs/end_to_end_2 \
      --output results/end_to_end.json

The rows of that file hold mean and standard deviation over the runs, which differ in their seed alone. Beside
the end-to-end experiment's come the curves of test accuracy over time: every run's in end_to_end_curves.json,
their mean in end_to_end_curves.png.

Six streams may be those of different folds of MPII Cooking Activities (data.protocol) in place of seeds. Then
`mean_average_precision` and `accuracy` are means and standard deviations over the folds, and
`pooled_mean_average_precision` is that of the test clips of all folds together, which are classified anew
from the features in the workdirs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from geoattn_jax.experiments.core.combination import Combination, CombineError, FinishedRun
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.results import as_json, read_results
from geoattn_jax.experiments.registry import experiment_named
from geoattn_jax.files import write_text
from geoattn_jax.training import WorkdirError


def combine(runs: Sequence[FinishedRun]) -> Combination:
    """One table of several runs, in the way of their experiment.

    Raises: CombineError if they do not belong to one table.
    """
    names = [run.results.experiment for run in runs]
    if len(set(names)) > 1:
        raise CombineError(f"the runs must have the same experiment, got {' and '.join(sorted(set(names)))}")
    return experiment_named(names[0]).combine(runs)


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
        runs = [FinishedRun(path, read_results(path / "results.json")) for path in options.workdirs]
        combination = combine(runs)
        write_text(options.output, as_json(combination.results))
        combination.write_beside(options.output)
    except (CombineError, ConfigError, OSError, WorkdirError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
