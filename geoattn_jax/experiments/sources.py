"""The data sets that the six streams can be trained on, by the name that a config gives as data.source."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from geoattn_jax.data.kitchen import CLASS_NAMES, SPLITS, SUBJECTS
from geoattn_jax.data.video_folder import load_video_folder
from geoattn_jax.experiments import config as rules
from geoattn_jax.experiments.clips import ClipSource
from geoattn_jax.experiments.config import Config, ConfigError, Rule
from geoattn_jax.experiments.kitchen_clips import KitchenClips
from geoattn_jax.experiments.video_clips import VideoClips, check_opencv


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
      scales: those of its levels' sizes that it has, see `attention_level.SCALES`.
      rules: of the keys in config.data besides `source`.
      open: from config.data, and a folder for what it keeps between runs, to its clips.
      in_table_3: whether the paper's numbers stand beside the results.
    """

    scales: Collection[str]
    rules: Mapping[str, Rule]
    open: Callable[[Config, Path], ClipSource]
    in_table_3: bool = True


def _open_kitchen(data: Config, folder: Path) -> KitchenClips:
    return KitchenClips(seed=data.world_seed, num_clips=data.clips.to_dict(), folder=folder)


def _open_videos(data: Config, folder: Path) -> VideoClips:
    check_opencv()
    try:
        return VideoClips(load_video_folder(data.data_dir, seed=data.split_seed), folder)
    except (ValueError, OSError) as error:
        raise ConfigError(f"config.data.data_dir: {error}") from error


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
    "video_folder": Source(
        scales=("mini",),
        rules={"data_dir": rules.folder(), "split_seed": rules.whole(0, 2**31 - 1)},
        open=_open_videos,
        in_table_3=False,
    ),
}
