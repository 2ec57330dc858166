"""train.py and eval.py in forks of a process that has imported everything already.

`python experiments_programs.py FOLDER COMMAND ...` runs every command, a JSON list of a program and its
arguments, in a new folder FOLDER/NUMBER/work; the exit code and what it prints become the files `code`, `out`
and `errors` beside it.
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import geoattn_jax.experiments.registry
import geoattn_jax.experiments.run  # noqa: F401

ROOT = Path(__file__).parents[1]


def run(folder, program, *arguments):
    """Runs a program in a fork and waits for it."""
    (folder / "work").mkdir(parents=True)
    child = os.fork()
    if child == 0:
        os.chdir(folder / "work")
        for name, stream in (("out", sys.stdout), ("errors", sys.stderr)):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), stream.fileno())
        os._exit(_code(program, arguments))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (folder / "code").write_text(str(code))


def _code(program, arguments):
    """Runs a program here; returns its exit code, as Python would."""
    sys.argv = [str(ROOT / program), *arguments]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    for number, command in enumerate(sys.argv[2:]):
        run(Path(sys.argv[1]) / str(number), *json.loads(command))
