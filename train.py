"""Trains and evaluates an experiment:

  python train.py --config=configs/quickstart.py --workdir=runs/quickstart [--config.key=value ...]

Writes results.json, table.md and figures/*.png into the workdir. Run again it goes on where it stopped. It
may be given other settings then, as long as nothing that was trained depends on them. Under the other value
of config.parallel, jit or pmap, a run goes on with sums in another order, and differs by rounding. Each file
in configs/ says what to expect of it. All keys, such as --config.runs=1, and their values stand in the
workdir's geoattn_jax.json.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from geoattn_jax.experiments.run import ending_in_one_line, prepare_process, train_and_evaluate

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "A new folder, or the one to go on in.")
flags.mark_flags_as_required(["config", "workdir"])


def main(arguments: list[str]) -> None:
    """Trains as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    with ending_in_one_line("train.py"):
        prepare_process()
        train_and_evaluate(_CONFIG.value.copy_and_resolve_references(), _WORKDIR.value)


def parse_flags(arguments: list[str]) -> list[str]:
    """Parses the flags. config_flags lets out what the file raises, and what ConfigDict does for its keys."""
    try:
        remaining = app.parse_flags_with_usage(arguments)
        _CONFIG.value.copy_and_resolve_references()
        return remaining
    except (AttributeError, ImportError, OSError, SyntaxError) as error:
        if error.args and isinstance(error.args[0], KeyError):
            unknown = ". ".join(error.args[0].args[0].splitlines())
            sys.exit(f"train.py: the config has no key {unknown}")
        reason = str(error).splitlines()[-1].strip()
        sys.exit(f"train.py: --config cannot be read ({reason}); give a file in configs/, or one like them")
    except (KeyError, TypeError, ValueError) as error:
        sys.exit(f"train.py: a flag cannot be used: {error.args[0]}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
