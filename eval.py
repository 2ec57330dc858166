"""Evaluates a finished training from its checkpoints, and writes its results anew:

  python eval.py --workdir=runs/quickstart

Or shows what six streams, trained by configs/table_b3.py or configs/video_folder.py, make of a video file: a
clip with the regions of each level and the top classes, and a picture of some of its frames:

  python eval.py --workdir=runs/video_folder --video=clip.mp4 [--out=annotated.gif]
"""

from absl import app, flags

from geoattn_jax.experiments.run import annotate, ending_in_one_line, evaluate, prepare_process

_WORKDIR = flags.DEFINE_string("workdir", None, "A folder in which train.py has finished.", required=True)
_VIDEO = flags.DEFINE_string("video", None, "A video file to annotate.")
_OUT = flags.DEFINE_string(
    "out", None, "Where to write it, .mp4 or .gif; in the workdir's figures/ if not given."
)


def main(arguments: list[str]) -> None:
    """Evaluates as the flags say."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    if _OUT.value is not None and _VIDEO.value is None:
        raise app.UsageError("--out is where --video is written to; give --video too")
    with ending_in_one_line("eval.py"):
        prepare_process()
        if _VIDEO.value is None:
            evaluate(_WORKDIR.value)
        else:
            print(*annotate(_WORKDIR.value, _VIDEO.value, _OUT.value), sep="\n")


if __name__ == "__main__":
    app.run(main)
