"""The digits that an experiment's config names."""

from typing import NamedTuple

from geoattn_jax.data.digits import SPLITS, DigitPool, Split, digit_pool, load_digits
from geoattn_jax.experiments.core.config import Config, ConfigError
from geoattn_jax.experiments.core.data_record import DataRecord, array_digest


class LoadedDigits(NamedTuple):
    """Digits of both splits on the device.

    Attributes:
      by_split: the digits.
      mean: the mean pixel, which is subtracted from all frames.
      record: what identifies them.
    """

    by_split: dict[Split, DigitPool]
    mean: float
    record: DataRecord


def load_config_digits(config: Config) -> LoadedDigits:
    """Loads the digits that config.digits and config.data_dir name, for frames of config.frame_size.

    Raises: ConfigError if they cannot be read.
    """
    try:
        digits = {split: load_digits(config.digits, split, config.data_dir) for split in SPLITS}
        by_split = {split: digit_pool(digits[split], frame_size=config.frame_size) for split in SPLITS}
    except (ValueError, OSError) as error:
        raise ConfigError(f"config.data_dir (with config.digits={config.digits!r}): {error}") from error
    record = {
        split: {"digits": {"digest": array_digest(one.images, one.labels)}} for split, one in digits.items()
    }
    return LoadedDigits(by_split, digits["train"].mean, record)
