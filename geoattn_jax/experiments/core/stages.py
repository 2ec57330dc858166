"""Stages: the pieces of an experiment's work, each with the settings that it reads.

What a stage does not read is no part of its identity: a workdir whose config changes keeps what does not hang
on the change. That the declarations are true is seen to by construction: the code of a stage is given
`Plan.settings`, which has the declared keys and no others.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from geoattn_jax.experiments.core.config import RUNNING, Config, flatten, is_below, restrict

WATCHING = tuple(RUNNING)  # which no outcome depends on


@dataclasses.dataclass(frozen=True)
class Stage:
    """A piece of work that leaves one folder or file in the workdir.

    Attributes:
      path: the folder of a training, or the file of something computed, in the workdir.
      reads: the keys of the config on which its outcome depends; a key stands for all keys below it, too.
      uses: keys that it needs besides, of which its outcome is independent but for rounding.
      after: the paths of the stages whose outcomes it is given.
      data: the splits of the data on which its outcome depends.
      steps: how many steps it trains; None for what is computed, and so can be computed again.
    """

    path: str
    reads: tuple[str, ...]
    uses: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    steps: int | None = None

    def renamed(
        self, path: Callable[[str], str], key: Callable[[str], str | None] = lambda key: key
    ) -> "Stage":
        """The same stage as a part of another experiment.

        Args:
          path: from a path here to the path there.
          key: likewise for keys; None for one that the path there tells.
        """
        reads, uses = (
            tuple(found for found in map(key, keys) if found is not None) for keys in (self.reads, self.uses)
        )
        after = tuple(map(path, self.after))
        return dataclasses.replace(self, path=path(self.path), reads=reads, uses=uses, after=after)


class Identity(NamedTuple):
    """What the outcome of a stage depends on, with all stages before it.

    Attributes:
      keys: of the config, with their values.
      data: splits of the data.
    """

    keys: Mapping[str, Any]
    data: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The stages of an experiment under one config; see `make_plan`.

    Attributes:
      stages: by path, each after those that it is based on.
      results: the settings that are read once all stages are done: what is shown, and how it is evaluated.
      places: the keys that say where the data lie, not what they are.
    """

    stages: Mapping[str, Stage]
    results: Config
    places: tuple[str, ...]
    _settings: Mapping[str, Config]
    _values: Mapping[str, Any]

    def settings(self, path: str) -> Config:
        """What a stage may read; other keys raise AttributeError."""
        return self._settings[path]

    def identity(self, path: str) -> Identity:
        """What a stage's outcome depends on."""
        behind = [self.stages[path]]
        for stage in behind:  # which grows meanwhile
            behind += [self.stages[name] for name in stage.after if self.stages[name] not in behind]
        keys = {key for stage in behind for key in stage.reads}
        values = {name: value for name, value in self._values.items() if is_below(name, keys)}
        return Identity(values, frozenset(split for stage in behind for split in stage.data))

    def training_steps(self) -> dict[str, int]:
        """How many steps each training takes, by its path."""
        return {path: stage.steps for path, stage in self.stages.items() if stage.steps is not None}


def make_plan(
    config: Config, stages: Iterable[Stage], *, results: Collection[str], places: tuple[str, ...] = ()
) -> Plan:
    """The plan of an experiment.

    Args:
      config: checked.
      stages: all that the config asks for; one that several are based on may come several times.
      results: the keys that are read after all stages.
      places: see `Plan`.
    """
    by_path = {stage.path: stage for stage in stages}
    settings = {path: restrict(config, (*stage.reads, *stage.uses)) for path, stage in by_path.items()}
    return Plan(by_path, restrict(config, results), places, settings, flatten(config))
