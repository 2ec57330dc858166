"""Checks of what the six streams are given, made before training as far as it can be known then."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from geoattn_jax.experiments.attention.networks import check_networks, num_features
from geoattn_jax.experiments.attention.published_weights import check_weights
from geoattn_jax.experiments.attention.trainings import SCALES
from geoattn_jax.experiments.core.config import Config, ConfigError, check_sub_batches
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource
from geoattn_jax.experiments.table_3.sources.registry import SOURCES


def check(config: Config, fitting: Fitting) -> None:
    """Checks what the rules cannot say.

    Args:
      config: checked by the rules.
      fitting: which trains.

    Raises: ConfigError naming the key.
    """
    name = config.data.source
    if config.scale not in SOURCES[name].scales:
        scales = ", ".join(SOURCES[name].scales)
        raise ConfigError(f"config.scale must be one of {scales} for {name}, got {config.scale!r}")
    levels = [SCALES[config.scale][level] for level in config.levels]
    networks = {"localizer": [config.localizer], "recognizer": [config.recognizer]}
    has_statistics = check_networks(networks, levels)
    features = num_features(config.recognizer)
    if config.pooling.components > features:
        raise ConfigError(
            f"config.pooling.components must be at most {features}, as many as the recognizer has features, "
            f"got {config.pooling.components}"
        )
    SOURCES[name].check(config)
    check_sub_batches(config)
    fitting.check_batches("", fills=not has_statistics)
    check_weights(config, [config.localizer])


def check_clips(source: ClipSource, *, components: int, still: Sequence[str]) -> None:
    """Checks that the training clips will do for what comes after training.

    Args:
      source: of the clips.
      components: config.pooling.components.
      still: the levels at which nothing moves in the training clips.

    Raises: ConfigError.
    """
    frames, classes = source.lengths("train").sum(), np.unique(source.labels("train"))
    if components > frames:
        raise ConfigError(
            f"config.pooling.components must be at most {frames}, as many as the training clips have frames, "
            f"got {components}"
        )
    if len(classes) < 2:
        names = [source.class_names[label] for label in classes]
        raise ConfigError(f"config.data: there must be training clips of two classes or more, got {names}")
    if still:
        raise ConfigError(
            f"config.data: nothing moves in the training clips (seen at level {', '.join(still)}), and the "
            f"temporal streams would have nothing to learn from; leave out clips of still pictures"
        )


@contextlib.contextmanager
def saying_where(what: str) -> Iterator[None]:
    """Ends in one line where the clips turn out not to do for some settings; another run may have others."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(
            f"{what} cannot be computed ({error}); go on with another config.pooling or other test clips, "
            f"what is trained is kept"
        ) from error
