"""All experiments by their name: what train.py, eval.py and the commands ask."""

from geoattn_jax.experiments.core.config import Config, ConfigError, one_of
from geoattn_jax.experiments.core.experiment import Experiment
from geoattn_jax.experiments.digits.declaration import END_TO_END, TWO_STAGE
from geoattn_jax.experiments.table_2.declaration import SUPERVISED_ATTENTION
from geoattn_jax.experiments.table_3.declaration import SIX_STREAMS

EXPERIMENTS = {
    experiment.name: experiment for experiment in (TWO_STAGE, END_TO_END, SUPERVISED_ATTENTION, SIX_STREAMS)
}


def experiment_of(config: Config) -> Experiment:
    """The experiment that a config is of.

    Raises: ConfigError if there is no such experiment.
    """
    return experiment_named(config.get("experiment"))


def experiment_named(name: str) -> Experiment:
    """The experiment of that name.

    Raises: ConfigError if there is none.
    """
    rule = one_of(EXPERIMENTS)
    if not rule.holds(name):
        raise ConfigError(f"config.experiment must be {rule.expected}, got {name!r}")
    return EXPERIMENTS[name]
