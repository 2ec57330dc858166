"""Evaluates a finished training from its checkpoints, and writes its results anew:

python eval.py --workdir=runs/quickstart
"""

from absl import app, flags

from geoattn_jax.experiments.run import ending_in_one_line, evaluate, prepare_process

_WORKDIR = flags.DEFINE_string("workdir", None, "A folder in which train.py has finished.", required=True)


def main(arguments: list[str]) -> None:
    """Evaluates as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    with ending_in_one_line("eval.py"):
        prepare_process()
        evaluate(_WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
