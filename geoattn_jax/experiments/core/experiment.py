"""What an experiment is to train.py, eval.py and the commands: all that they ask of one is declared here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from geoattn_jax.experiments.core.combination import Combination, FinishedRun, combine_seeds
from geoattn_jax.experiments.core.config import Config, Rule, check_config
from geoattn_jax.experiments.core.data_record import DataRecord
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.results import Row
from geoattn_jax.experiments.core.stages import Plan
from geoattn_jax.experiments.core.tables import markdown


@runtime_checkable
class Prepared(Protocol):
    """An experiment of one config, checked, with its data found. Nothing has been written yet.

    Attributes:
      plan: its stages.
    """

    plan: Plan

    def data(self, known: DataRecord) -> DataRecord:
        """What the data are, given what an earlier run recorded of them; see `data_record`."""

    def measure(self) -> Any:
        """Trains what its `Fitting` has not trained yet, and measures what was trained."""

    def rows(self, measured: Any) -> list[Row]:
        """What was measured as the rows of the paper's table."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment, whatever its config.

    Attributes:
      name: as config.experiment has it.
      rules: what the values of a config must be, by key; of the config, as one value can decide on others.
      defaults: the settings from which the files in configs/ depart; of a config, likewise.
      plan: the stages under a config that keeps the rules.
      prepare: checks what the rules cannot say, and finds the data.
      draw: draws the figures of what was measured into the workdir; returns their files.
      tables: the rows as the paper lays them out, in Markdown.
      combine: makes one table of several runs.
      annotate: draws what a finished run makes of a video file into a video (--video, --out); returns the
        files. None if the experiment cannot.
    """

    name: str
    rules: Callable[[Config], Mapping[str, Rule]]
    defaults: Callable[[Config], Config]
    plan: Callable[[Config], Plan]
    prepare: Callable[[Config, Fitting], Prepared]
    draw: Callable[[Prepared, Any], list[Path]]
    tables: Callable[[Sequence[Row]], str] = markdown
    combine: Callable[[Sequence[FinishedRun]], Combination] = combine_seeds
    annotate: Callable[[Prepared, Path, Path], list[Path]] | None = None

    def start(self, config: Config, fitting: Fitting) -> Prepared:
        """The experiment of one config. Writes nothing.

        Raises: ConfigError naming the key.
        """
        check_config(config, self.rules(config))
        return self.prepare(config, fitting)
