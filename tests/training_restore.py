"""Goes on with finished runs in a process of its own, because orbax's threads outlive a failed read.

`python training_restore.py FOLDER...` prints one line of JSON per folder: {"digest"} of the parameters, or
{"refused"} with the message.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["JAX_PLATFORMS"] = "cpu"

import json

import training_problem as problem

from geoattn_jax.training import WorkdirError, train
from geoattn_jax.training.checkpoint import digest


def outcome(folder):
    params, model_state = problem.initial_params(), problem.initial_model_state()
    try:
        trained = train(
            problem.phases(), params, model_state, directory=folder, seed=3, checkpoint_every=3, log_every=2
        )
    except WorkdirError as error:
        return {"refused": str(error)}
    return {"digest": digest(trained.params)}


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(outcome(argument)))
