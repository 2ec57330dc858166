"""x"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.supervised_attention import kitchen_config


def get_config() -> Config:
    """One level, one localizer, one run."""
    config = kitchen_config()
    config.levels, config.localizers, config.runs = ("detail",), ("small",), 1
    return config
