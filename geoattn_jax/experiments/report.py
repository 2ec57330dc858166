"""Fills README's blocks of results from the JSON files that they were measured into:

  python -m geoattn_jax.experiments.report

Between `<!-- results: NAME -->` and `<!-- /results -->` comes what results/NAME.json holds.
"""

import argparse
import re
import sys
from pathlib import Path

from geoattn_jax.experiments.core.results import Results, read_results
from geoattn_jax.experiments.registry import experiment_named
from geoattn_jax.files import write_text
from geoattn_jax.training import WorkdirError

BLOCK = re.compile(r"^<!-- results: (\S+) -->\n.*?^<!-- /results -->$", re.MULTILINE | re.DOTALL)


def filled(text: str, folder: Path) -> str:
    """A document with its blocks of results made anew.

    Raises: WorkdirError if a block's file is missing or damaged.
    """

    def block(match: re.Match) -> str:
        name = match[1]
        results = read_results(folder / f"{name}.json")
        tables = experiment_named(results.experiment).tables(results.rows)
        return f"<!-- results: {name} -->\n{summary(results)}\n{tables}<!-- /results -->"

    return BLOCK.sub(block, text)


def summary(results: Results) -> str:
    """Where the numbers come from, on one line."""
    origin = results.provenance
    minutes = origin["wall_seconds"] / 60
    packages = ", ".join(f"{name} {origin['packages'][name]}" for name in ("python", "jax"))
    seed = origin["seed"]
    if isinstance(seed, list):
        seeds = f"a run, the mean of the seeds {', '.join(map(str, seed))}"
    else:
        seeds = f"seed {seed}"
    return (
        f"Training and the extraction of features took {minutes:.1f} minutes on {origin['device']} "
        f"({packages}), {seeds}.\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Rewrites the document; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m geoattn_jax.experiments.report", description=__doc__)
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="document (%(default)s)")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder of the JSON files (%(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        write_text(options.readme, filled(options.readme.read_text(), options.results))
    except (OSError, WorkdirError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
