"""The VGG networks' start from weights learned on ImageNet, as the paper's networks had it."""

from collections.abc import Collection, Mapping
from pathlib import Path

import jax
from ml_collections import config_dict

from geoattn_jax.experiments.attention.samples import MEAN, STD
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError
from geoattn_jax.models.pretrained import flow_params, read_matconvnet, read_torchvision
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.models.vgg import VGG, VGG16, VGGF, VGGM
from geoattn_jax.training.phase import Params

NETWORKS = {"vgg_f": VGGF, "vgg_m": VGGM, "vgg_16": VGG16}
LOCALIZERS = {"small": "vgg_f", "middle": "vgg_m", "large": "vgg_16"}
RECOGNIZER = "vgg_16"
WEIGHTS_RULES = {f"weights.{name}": rules.optional_text() for name in NETWORKS}


def no_weights() -> dict[str, config_dict.FieldReference]:
    """A config's `weights`: for each network the file from which those of its kind start."""
    return {name: config_dict.placeholder(str) for name in NETWORKS}


def check_weights(config: Config, localizers: Collection[str]) -> None:
    """Checks that the files that a config names are there, and are of networks that it trains.

    Args:
      config: with `scale` and `weights`.
      localizers: the sizes of those that are trained.

    Raises: ConfigError naming the key.
    """
    trained = {RECOGNIZER, *(LOCALIZERS[size] for size in localizers)}
    for name, path in config.weights.items():
        if path is None:
            continue
        if config.scale != "paper":
            raise ConfigError(
                f"config.weights.{name} must be None unless config.scale is paper, got {path!r}"
            )
        if name not in trained:
            raise ConfigError(
                f"config.weights.{name} must be None, as only {' and '.join(sorted(trained))} are trained, "
                f"got {path!r}"
            )
        if not Path(path).is_file():
            raise ConfigError(f"config.weights.{name} must be a file that exists, got {path!r}")
        if NETWORKS[name] is not VGG16 and Path(path).suffix != ".mat":
            raise ConfigError(f"config.weights.{name} must be MatConvNet's, a .mat file, got {path!r}")


def with_weights(params: Params, model: SSTN, weights: Mapping[str, str | None], *, channels: int) -> Params:
    """Puts published weights in the place of random ones; the last layers keep theirs.

    Args:
      params: of `model`, whose localizer and recognizer are VGG networks.
      model: the network.
      weights: files by network; None to keep random weights.
      channels: of what it sees: three colours, or stacked flow, whose first convolution is `flow_params`.
    """
    parts = {"localizer": model.localizer, "recognizer": model.recognizer}
    started = dict(params)
    for part, network in parts.items():
        (name,) = (name for name, kind in NETWORKS.items() if isinstance(network, kind))
        if weights[name] is not None:
            started[part] = {**params[part], **_read(weights[name], network, channels)}
    return started


def _read(path: str, network: VGG, channels: int) -> Params:
    """The layers up to fc7, for frames or flow as this package normalizes them."""
    read = read_matconvnet if Path(path).suffix == ".mat" else read_torchvision
    pretrained = read(path, network.clone(num_classes=None), jax.random.key(0))  # nothing random is left
    params = pretrained.params_for(MEAN, STD)
    return params if channels == 3 else flow_params(params, channels)
