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

KINDS = {"vgg_f": VGGF, "vgg_m": VGGM, "vgg_16": VGG16}  # for which there are files
WEIGHTS_RULES = {
    f"weights.{name}": rules.optional_text().saying("file of published weights to start from")
    for name in KINDS
}


def no_weights() -> dict[str, config_dict.FieldReference]:
    """A config's `weights`: for each network the file from which those of its kind start."""
    return {name: config_dict.placeholder(str) for name in KINDS}


def check_weights(config: Config, localizers: Collection[str]) -> None:
    """Checks that the files that a config names are there, and are of networks that it trains.

    Args:
      config: with `scale`, `recognizer` and `weights`.
      localizers: those that are trained.

    Raises: ConfigError naming the key.
    """
    trained = {config.recognizer, *localizers}
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
        if KINDS[name] is not VGG16 and Path(path).suffix != ".mat":
            raise ConfigError(f"config.weights.{name} must be MatConvNet's, a .mat file, got {path!r}")


def with_weights(params: Params, model: SSTN, weights: Mapping[str, str | None], *, channels: int) -> Params:
    """Puts published weights in the place of random ones; the last layers keep theirs.

    Args:
      params: of `model`.
      model: the network, of whose localizer and recognizer those are started that are VGG networks.
      weights: files by network; None to keep random weights.
      channels: of what it sees: three colours, or stacked flow, whose first convolution is `flow_params`.
    """
    parts = {"localizer": model.localizer, "recognizer": model.recognizer}
    started = dict(params)
    for part, network in parts.items():
        for name, kind in KINDS.items():
            if isinstance(network, kind) and weights[name] is not None:
                started[part] = {**params[part], **_read(weights[name], network, channels)}
    return started


def _read(path: str, network: VGG, channels: int) -> Params:
    """The layers up to fc7, for frames or flow as this package normalizes them."""
    read = read_matconvnet if Path(path).suffix == ".mat" else read_torchvision
    pretrained = read(path, network.clone(num_classes=None), jax.random.key(0))  # nothing random is left
    params = pretrained.params_for(MEAN, STD)
    return params if channels == 3 else flow_params(params, channels)
