"""TensorFlow Datasets builders of moving and scaled digits, for record files that other programs read.

Prepares and reads without TensorFlow (`pip install geoattn-jax[tfds]`):

    builder = MovingDigits(config="sklearn_interleaved_rotation", data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    source = builder.as_data_source(split="train")
    source[0]["video"], source[0]["label"]

For the configs that begin with "mnist", put the MNIST files into `folder/downloads/manual`, or name their
folder by `download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=...))`.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds

from geoattn_jax.data import moving_digits, scaled_digits
from geoattn_jax.data.digits import (
    REFERENCE_FRAME,
    SOURCES,
    SPLITS,
    Digits,
    DigitSource,
    Split,
    digit_pool,
    load_digits,
)

_MANUAL = "The configs of source 'mnist' read MNIST's four IDX files, gzipped or not, in manual_dir."
_VIDEOS_AT_ONCE = 5  # divides the number of classes of every protocol: one shape to compile
_FRAMES_AT_ONCE = 500


@dataclasses.dataclass(kw_only=True)
class MovingDigitsConfig(tfds.core.BuilderConfig):
    """Which videos; see `moving_digits.MovingDigits`."""

    condition: moving_digits.Condition
    protocol: moving_digits.Protocol
    source: DigitSource = "sklearn"
    frame_size: int = REFERENCE_FRAME
    settings: int = 10
    videos_per_class: int = 1
    seed: int = 0

    def videos(self, split: Split) -> moving_digits.MovingDigits:
        return moving_digits.MovingDigits(
            self.condition, self.protocol, split, frame_size=self.frame_size, settings=self.settings
        )


@dataclasses.dataclass(kw_only=True)
class ScaledDigitsConfig(tfds.core.BuilderConfig):
    """Which frames; see `scaled_digits.render_scaled_digits`."""

    source: DigitSource = "sklearn"
    frame_size: int = REFERENCE_FRAME
    num_frames: dict[Split, int] = dataclasses.field(
        default_factory=lambda: {"train": 60_000, "test": 10_000}
    )
    seed: int = 0


class MovingDigits(tfds.core.GeneratorBasedBuilder):
    """Videos of two moving digits, one builder config for each source, protocol and condition."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = _MANUAL
    BUILDER_CONFIGS = tuple(
        MovingDigitsConfig(
            name=f"{source}_{protocol}_{condition}", source=source, protocol=protocol, condition=condition
        )
        for source, protocol, condition in itertools.product(
            SOURCES, moving_digits.PROTOCOLS, moving_digits.CONDITIONS
        )
    )

    def _info(self) -> tfds.core.DatasetInfo:
        video = self.builder_config.videos("train")
        shape = (video.num_frames, video.frame_size, video.frame_size, 1)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Tensor(shape=shape, dtype=np.uint8),
                    "label": tfds.features.ClassLabel(names=video.class_names),
                }
            ),
            supervised_keys=("video", "label"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, dl_manager) for split in SPLITS}

    def _generate_examples(self, split, dl_manager) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        video = config.videos(split)
        digits = _load(config.source, video.digits_split, dl_manager)
        pool = digit_pool(digits, frame_size=config.frame_size)
        for indices in _batches(len(video.classes) * config.videos_per_class, _VIDEOS_AT_ONCE):
            frames, labels = moving_digits.render_videos(video, pool, config.seed, indices)
            for index, video_bytes, label in zip(indices, _to_bytes(frames), labels, strict=True):
                yield int(index), {"video": video_bytes, "label": int(label)}


class ScaledDigits(tfds.core.GeneratorBasedBuilder):
    """Frames of one stretched and shifted digit, one builder config for each source."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = _MANUAL
    BUILDER_CONFIGS = tuple(ScaledDigitsConfig(name=source, source=source) for source in SOURCES)

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (self.builder_config.frame_size, self.builder_config.frame_size, 1)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=shape, dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, dl_manager) for split in SPLITS}

    def _generate_examples(self, split, dl_manager) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        pool = digit_pool(_load(config.source, split, dl_manager), frame_size=config.frame_size)
        for indices in _batches(config.num_frames[split], _FRAMES_AT_ONCE):
            frames, labels = scaled_digits.render_scaled_digits(
                pool, config.seed, indices, frame_size=config.frame_size
            )
            for index, image, label in zip(indices, _to_bytes(frames), labels, strict=True):
                yield int(index), {"image": image, "label": int(label)}


def _load(source: DigitSource, split: Split, dl_manager) -> Digits:
    return load_digits(source, split, dl_manager.manual_dir if source == "mnist" else None)


def _batches(count: int, size: int) -> Iterator[jnp.ndarray]:
    for start in range(0, count, size):
        yield jnp.arange(start, min(start + size, count))


def _to_bytes(frames) -> np.ndarray:
    return np.asarray(jnp.round(frames * 255)).astype(np.uint8)
