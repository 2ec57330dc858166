"""The settings of guiding and joint training: their types, their keys, what the keys are for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from geoattn_jax.data.levels import LEVEL_NAMES, LevelName
from geoattn_jax.experiments.attention.control_regions import CROPS, Crops
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, Rule
from geoattn_jax.training.schedules import SCHEDULES


@dataclasses.dataclass(frozen=True)
class Dropout:
    """The share of features that training drops."""

    localizer: float = 0.0
    recognizer: float = 0.5


@dataclasses.dataclass(frozen=True)
class Guide:
    """Of regressive guiding and the recognizer's pretraining meanwhile, see `AttentionTask.guide`."""

    updates: int = 1000
    crops: Crops = "jittered"
    localizer_rate: float = 1e-3
    recognizer_rate: float = 1e-3
    schedule: str = "cosine"


@dataclasses.dataclass(frozen=True)
class Joint:
    """Of joint training, see `AttentionTask.joint`; updates and the localizer's rate by level."""

    updates: Mapping[LevelName, int] = dataclasses.field(
        default_factory=lambda: {"detail": 1500, "middle": 1000, "general": 1000}
    )
    # The more general the level, the fewer pixels is a unit of theta.
    localizer_rate: Mapping[LevelName, float] = dataclasses.field(
        default_factory=lambda: {"detail": 2e-4, "middle": 3e-4, "general": 1e-3}
    )
    recognizer_rate: float = 5e-4
    schedule: str = "cosine"


PHASES: dict[str, Rule] = {
    "dropout.localizer": rules.share().saying("share of the localizer's features that training drops"),
    "dropout.recognizer": rules.share().saying("share of the recognizer's features that training drops"),
    "guide.updates": rules.whole(1).saying("updates of guiding and the recognizer's pretraining"),
    "guide.crops": rules.one_of(CROPS).saying("where the recognizer's crops lie meanwhile"),
    "guide.localizer_rate": rules.positive().saying("the localizer's learning rate in guiding"),
    "guide.recognizer_rate": rules.positive().saying("the recognizer's learning rate meanwhile"),
    "guide.schedule": rules.one_of(SCHEDULES).saying("of both rates"),
    **{
        f"joint.updates.{level}": rules.whole(1).saying("updates of joint training at this level")
        for level in LEVEL_NAMES
    },
    **{
        f"joint.localizer_rate.{level}": rules.positive().saying(
            "the localizer's learning rate in joint training at this level"
        )
        for level in LEVEL_NAMES
    },
    "joint.recognizer_rate": rules.positive().saying("the recognizer's learning rate in joint training"),
    "joint.schedule": rules.one_of(SCHEDULES).saying("of both rates"),
}


def phase_values(dropout: Dropout, guide: Guide, joint: Joint) -> dict[str, Any]:
    """A config's values of these keys."""
    parts = {"dropout": dropout, "guide": guide, "joint": joint}
    return {name: dataclasses.asdict(part) for name, part in parts.items()}


@dataclasses.dataclass(frozen=True)
class Section:
    """The part of a config by which the phases of some trainings are set, and the folder in which these lie.

    Attributes:
      name: of the part and of the folder, such as "flow"; None for the config itself and the workdir.
    """

    name: str | None = None

    def key(self, key: str) -> str:
        """The whole name of one of `PHASES`, or of what it lies in."""
        return key if self.name is None else f"{self.name}.{key}"

    def path(self, path: str) -> str:
        """Where the workdir has what lies in `path` of the folder."""
        return path if self.name is None else f"{self.name}/{path}"

    def rules(self) -> dict[str, Rule]:
        """`PHASES` by their whole names."""
        return {self.key(key): rule for key, rule in PHASES.items()}

    def dropout(self, config: Config) -> Dropout:
        """Those of a config that has them."""
        return Dropout(**self._of(config).dropout)

    def guide(self, config: Config) -> Guide:
        """Those of a config that has them."""
        return Guide(**self._of(config).guide)

    def joint(self, config: Config) -> Joint:
        """Those of a config that has them, of one level at least."""
        return Joint(**self._of(config).joint.to_dict())

    def _of(self, config: Config) -> Config:
        return config if self.name is None else config[self.name]
