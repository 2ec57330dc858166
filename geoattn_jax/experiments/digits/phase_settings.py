"""From a group of settings, such as config.pretrain, to the options of its phase and its training."""

from collections.abc import Collection
from typing import Any

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.training import Phase, Trained
from geoattn_jax.training.phase import ModelState, Params


def phase_options(
    group: Config, *, steps: int | None = None, without: Collection[str] = ()
) -> dict[str, Any]:
    """The settings of a group as options of the function that makes its phase.

    Args:
      group: of settings.
      steps: one of those that the group has for several trainings.
      without: names of settings that are of the model, not of the phase.
    """
    options = {name: value for name, value in group.items() if name not in without}
    return options if steps is None else {**options, "steps": steps}


def fit_phase(
    fitting: Fitting,
    folder: str,
    phase: Phase,
    params: Params,
    model_state: ModelState,
    *,
    settings: Config,
    log_every: int | None = None,
) -> Trained:
    """What comes of a run of one phase.

    Args:
      fitting: trains, or reads what was trained.
      folder: of the run in the workdir.
      phase: what to do.
      params, model_state: the initial ones.
      settings: of the run.
      log_every: None for that of the settings.
    """
    return fitting.fit(
        folder,
        [phase],
        params,
        model_state,
        seed=settings.seed,
        log_every=settings.log_every if log_every is None else log_every,
    )
