"""The data sets that the six streams can be trained on, by the name that a config gives as data.source."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from geoattn_jax.data.flow import METHODS, check_flow_method
from geoattn_jax.data.levels import LevelName
from geoattn_jax.data.mpii_annotations import PROTOCOLS
from geoattn_jax.data.mpii_videos import KEEPING
from geoattn_jax.data.splits import Split
from geoattn_jax.data.video_folder import load_video_folder
from geoattn_jax.experiments.attention.settings import KITCHEN_CLIPS
from geoattn_jax.experiments.attention.trainings import SCALES
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError, Rule
from geoattn_jax.experiments.core.stages import Stage
from geoattn_jax.experiments.table_3.sources.kitchen import KitchenClips
from geoattn_jax.experiments.table_3.sources.mpii import MpiiClips, mpii_data
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource
from geoattn_jax.experiments.table_3.sources.videos import VideoClips, check_opencv
from geoattn_jax.training.processes import first_does, is_first


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
      scales: those of its levels' sizes that it has, see `attention.trainings.SCALES`.
      rules: of the keys in config.data besides `source`.
      split_keys: those of config.data on which the clips of a split depend, besides what the files hold.
      open: from config.data, and a folder for what it keeps between runs, to its clips.
      in_table_3: whether the paper's numbers stand beside the results.
      kept_windows: whether the hard-coded regions of each split and level are kept in the workdir.
      check: checks what the rules cannot say of a config with this source.
      places: the keys of the config that say where the clips lie.
      defaults: a config's settings of the data, from which users depart.
    """

    scales: Collection[str]
    rules: Mapping[str, Rule]
    split_keys: Callable[[Split], tuple[str, ...]]
    open: Callable[[Config, Path], ClipSource]
    defaults: Callable[[], dict[str, Any]]
    in_table_3: bool = True
    kept_windows: bool = False
    check: Callable[[Config], None] = lambda config: None
    places: tuple[str, ...] = ()

    def reads(self, split: Split) -> tuple[str, ...]:
        """The keys of the config on which the clips of a split depend."""
        return ("data.source", *(f"data.{key}" for key in self.split_keys(split)))

    def stages(self, level: LevelName, split: Split) -> list[Stage]:
        """What the source keeps in the workdir under a name that does not tell from what it was made."""
        if not self.kept_windows:
            return []
        return [Stage(f"clips/{level}/windows_{split}.npz", reads=self.reads(split))]


def _open_kitchen(data: Config, folder: Path) -> KitchenClips:
    return KitchenClips(seed=data.world_seed, num_clips=data.clips.to_dict(), folder=folder)


def _kitchen_data() -> dict[str, Any]:
    clips = {"train": 1680, "validation": 140, "test": 1260}
    return {"source": "kitchen_mini", "world_seed": 0, "clips": clips}


def _open_mpii(data: Config, folder: Path) -> MpiiClips:
    """Prepares the data set, which takes long, unless that is done."""
    del folder
    try:
        import tensorflow_datasets as tfds

        from geoattn_jax.data.mpii_cooking import MpiiCooking, cooking_config

        check_flow_method(data.flow_method)
    except ImportError as error:
        raise ConfigError(
            f"config.data.source='mpii_cooking' needs pip install 'geoattn-jax[tfds,video]' ({error})"
        ) from error
    kept = cooking_config(
        data.size, stride=data.stride, background=data.background, flow_method=data.flow_method
    )
    builder = MpiiCooking(config=kept, data_dir=data.data_dir)
    try:
        download = tfds.download.DownloadConfig(manual_dir=data.manual_dir)
        first_does(lambda: builder.download_and_prepare(download_config=download), None)
        if not is_first():
            builder = MpiiCooking(config=kept, data_dir=data.data_dir)  # which reads what has been prepared
        return MpiiClips.of_protocol(builder, data.protocol)
    except (AssertionError, OSError, ValueError) as error:  # TFDS asserts that there is a manual_dir
        raise ConfigError(f"config.data: {error}") from error


def _check_mpii_size(config: Config) -> None:
    kept = KEEPING[config.data.size].frame_hw
    for name in config.levels:
        needed = SCALES[config.scale][name].frame_hw
        if kept[0] < needed[0]:
            raise ConfigError(
                f"config.data.size must be that of the largest level: {config.data.size!r} keeps frames at "
                f"{kept}, and level {name!r} at scale {config.scale!r} needs {needed}"
            )


def _open_videos(data: Config, folder: Path) -> VideoClips:
    check_opencv(data.flow_method)
    try:
        videos = load_video_folder(data.data_dir, seed=data.split_seed)
        return VideoClips(videos, folder, flow_method=data.flow_method)
    except (ValueError, OSError) as error:
        raise ConfigError(f"config.data.data_dir: {error}") from error


def _video_data() -> dict[str, Any]:
    folder = config_dict.placeholder(str)
    return {"source": "video_folder", "data_dir": folder, "split_seed": 0, "flow_method": "dis"}


SOURCES = {
    "kitchen_mini": Source(
        scales=("mini",),
        rules={
            "world_seed": rules.whole(0, 2**31 - 1).saying("of all scenes"),
            **KITCHEN_CLIPS,
        },
        split_keys=lambda split: ("world_seed", f"clips.{split}"),
        open=_open_kitchen,
        defaults=_kitchen_data,
        kept_windows=True,
    ),
    "mpii_cooking": Source(
        scales=("mini", "paper"),
        rules={
            "size": rules.one_of(KEEPING).saying("at which frames are kept"),
            "stride": rules.whole(1).saying("every so many frames are kept"),
            "background": rules.boolean().saying("whether the background counts as a class"),
            "flow_method": rules.one_of(METHODS).saying("by which flow is computed"),
            "protocol": rules.one_of(PROTOCOLS).saying("which subjects are tested on"),
            "data_dir": rules.optional_text().saying("folder of the prepared records"),
            "manual_dir": rules.optional_text().saying("folder of the downloaded files"),
        },
        split_keys=lambda split: ("size", "stride", "background", "flow_method", "protocol"),
        open=_open_mpii,
        defaults=partial(mpii_data, "detail"),
        check=_check_mpii_size,
        places=("data.data_dir", "data.manual_dir"),
    ),
    "video_folder": Source(
        scales=("mini",),
        rules={
            "data_dir": rules.folder().saying("folder with a folder of videos for each class"),
            "split_seed": rules.whole(0, 2**31 - 1).saying("of the random split, where folders do not say"),
            "flow_method": rules.one_of(METHODS).saying("by which flow is computed"),
        },
        split_keys=lambda split: ("split_seed", "flow_method"),
        open=_open_videos,
        defaults=_video_data,
        places=("data.data_dir",),
        in_table_3=False,
    ),
}
