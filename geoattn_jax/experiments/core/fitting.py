"""Where an experiment's parameters come from: training that resumes, or the checkpoints alone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from geoattn_jax.experiments.core.config import Config, ConfigError, train_options
from geoattn_jax.experiments.core.stages import Plan
from geoattn_jax.training import (
    Phase,
    Trained,
    WorkdirError,
    load_trained,
    read_array,
    read_last_metrics,
    train,
    trained_steps,
)
from geoattn_jax.training.devices import all_devices
from geoattn_jax.training.division import does_not_divide
from geoattn_jax.training.parallel import PARALLELISMS
from geoattn_jax.training.phase import ModelState, Params
from geoattn_jax.training.processes import is_alone


@dataclasses.dataclass(frozen=True)
class Fitting:
    """Fits parameters in folders of a workdir, by training what is left to do or by reading checkpoints.

    Attributes:
      config: with the keys of `RUNNING`.
      workdir: the experiment's folder.
      trains: False to read the checkpoints of finished runs only.
    """

    config: Config
    workdir: Path
    trains: bool

    def fit(
        self,
        name: str,
        phases: Sequence[Phase],
        params: Params,
        model_state: ModelState,
        *,
        seed: int,
        log_every: int,
    ) -> Trained:
        """The parameters and the model state after all phases.

        Args:
          name: of the run, its folder in the workdir.
          phases: what to do.
          params: the initial parameters.
          model_state: the initial mutable state, such as flax's {"batch_stats": ...}; {} if there is none.
          seed: of the run.
          log_every: a line of metrics is written after every so many steps.

        Raises: WorkdirError if the folder is damaged or, without training, the run is not finished.
        """
        config, directory = self.config, self.workdir / name
        if self.trains:
            return train(
                phases,
                params,
                model_state,
                seed=seed,
                directory=directory,
                log_every=log_every,
                **train_options(config),
            )
        self._check_finished(name, sum(phase.steps for phase in phases))
        return load_trained(directory, phases, params, model_state, seed=seed)

    def check_batches(self, *groups: str, fills: bool) -> None:
        """Checks that all devices can share the batches of training; done before anything takes time.

        Args:
          groups: of settings that have a batch_size, such as "pretrain"; "" for settings outside of groups.
          fills: whether batches may be filled up with examples of weight 0.

        Raises: ConfigError naming the key, and what would fit.
        """
        if self.config.parallel == "pmap" and not is_alone():
            raise ConfigError("config.parallel=pmap is for one process; take jit for several")
        if not self.trains or (fills and PARALLELISMS[self.config.parallel].fills):
            return
        for group in groups:
            settings, prefix = (self.config[group], f"{group}.") if group else (self.config, "")
            if settings.batch_size % len(all_devices()):
                reason = does_not_divide(settings.batch_size, len(all_devices()))
                raise ConfigError(f"config.{prefix}batch_size: {reason}")

    def check_finished(self, plan: Plan) -> None:
        """Checks that all trainings of a plan are finished; done before anything takes time.

        Raises: WorkdirError naming the first one that is not finished.
        """
        for name, expected in plan.training_steps().items():
            self._check_finished(name, expected)

    def is_finished(self, plan: Plan) -> bool:
        """Whether all trainings of a plan are finished."""
        return all(
            trained_steps(self.workdir / name) == expected for name, expected in plan.training_steps().items()
        )

    def _check_finished(self, name: str, expected: int) -> None:
        done = trained_steps(self.workdir / name)
        if done != expected:
            raise WorkdirError(
                f"{self.workdir / name} has done {done} of {expected} steps; "
                f"run train.py on the same workdir to finish it"
            )

    def seconds(self) -> float:
        """What the training and the stages between took, over all sessions that they needed."""
        trainings = [read_last_metrics(path) for path in sorted(self.workdir.rglob("metrics.jsonl"))]
        stages = [read_array(path, "seconds") for path in sorted(self.workdir.rglob("*.npz"))]
        return sum(row["seconds"] for row in trainings) + sum(map(float, stages))
