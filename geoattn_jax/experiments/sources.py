"""The data sets that the six streams can be trained on, by the name that a config gives as data.source."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from geoattn_jax.data.kitchen import CLASS_NAMES, SPLITS, SUBJECTS
from geoattn_jax.experiments import config as rules
from geoattn_jax.experiments.clips import ClipSource
from geoattn_jax.experiments.config import Config, Rule
from geoattn_jax.experiments.kitchen_clips import KitchenClips


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
      scales: those of its levels' sizes that it has, see `attention_level.SCALES`.
      rules: of the keys in config.data besides `source`.
      open: from config.data, and a folder for what it keeps between runs, to its clips.
    """

    scales: Collection[str]
    rules: Mapping[str, Rule]
    open: Callable[[Config, Path], ClipSource]


def _open_kitchen(data: Config, folder: Path) -> KitchenClips:
    return KitchenClips(seed=data.world_seed, num_clips=data.clips.to_dict(), folder=folder)


EACH_ONCE = {split: len(CLASS_NAMES) * len(SUBJECTS[split]) for split in SPLITS}  # every class and subject

SOURCES = {
    "kitchen_mini": Source(
        scales=("mini",),
        rules={
            "world_seed": rules.whole(0, 2**31 - 1),
            **{f"clips.{split}": rules.whole(clips) for split, clips in EACH_ONCE.items()},
        },
        open=_open_kitchen,
    ),
}
