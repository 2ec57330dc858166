"""The networks that localize and recognize, by the names that configs give them.

Any of them can do either. A new one is one more entry of `NETWORKS`: a module that maps images (b, h, w, c)
to outputs, called with `train`; with a method `features`, from which a recognizer's descriptors come, and
`units`, how many features it gives. It may have mutable state, such as batch normalization's.
"""

import itertools
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from geoattn_jax.data.levels import Level
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.models.resnet import ResNet18
from geoattn_jax.models.small import LARGE, MEDIUM, SMALL, SMALL_WIDE
from geoattn_jax.models.vgg import VGG16, VGGF, VGGM

# (num_classes, *, dropout_rate, axis_name, dtype, remat) -> module. Without classes it localizes: its outputs
# are what the theta layer sees. axis_name is the devices' axis under pmap, for statistics of the whole batch.
# It computes in dtype, and with remat a second time for the gradients, see `layers.remat`.
Build = Callable[..., nn.Module]


def _stateless(kind: Callable[..., nn.Module]) -> Build:
    """A network that sees one example at a time, whatever else is in the batch."""
    return lambda num_classes, *, axis_name, **options: kind(num_classes, **options)


def _resnet(kind: Callable[..., nn.Module], num_classes: int | None, **options: Any) -> nn.Module:
    """A residual network, which as a localizer keeps the places of what it sees."""
    return kind(num_classes, global_pool=num_classes is not None, **options)


NETWORKS: dict[str, Build] = {
    "small": _stateless(SMALL),
    "small_wide": _stateless(SMALL_WIDE),
    "medium": _stateless(MEDIUM),
    "large": _stateless(LARGE),
    "vgg_f": _stateless(VGGF),
    "vgg_m": _stateless(VGGM),
    "vgg_16": _stateless(VGG16),
    "resnet_18": partial(_resnet, ResNet18),
    "resnet_18_mini": partial(_resnet, partial(ResNet18, stem="small", width=0.25)),
}


def network(
    name: str,
    num_classes: int | None = None,
    *,
    dropout_rate: float = 0.0,
    axis_name: str | None = None,
    dtype: DTypeLike | None = None,
    remat: bool = False,
) -> nn.Module:
    """A network that gives the logits of some classes; without classes, what the theta layer sees."""
    return NETWORKS[name](
        num_classes, dropout_rate=dropout_rate, axis_name=axis_name, dtype=dtype, remat=remat
    )


def num_features(name: str) -> int:
    """How many features a recognizer's descriptors have."""
    return network(name).units


def check_networks(networks: Mapping[str, Collection[str]], levels: Collection[Level]) -> bool:
    """Checks, by shapes alone, that networks can see the regions of some levels.

    Args:
      networks: their names, by the config's key.
      levels: at whose sizes.

    Returns: whether any of them has mutable state, statistics over batches.
    Raises: ConfigError naming the key, the network and what is wrong.
    """
    collections: set[str] = set()
    sides = {level.window_hw: level.name for level in levels}
    for (key, names), (hw, level) in itertools.product(networks.items(), sides.items()):
        images = jax.ShapeDtypeStruct((1, *hw, 3), jnp.float32)
        for name in names:
            init = partial(network(name).init, train=False)
            try:
                collections |= jax.eval_shape(init, jax.random.key(0), images).keys()
            except ValueError as error:
                raise ConfigError(
                    f"config.{key}: {name} cannot see the regions of {level} level ({error}); "
                    f"choose another network, or another config.scale"
                ) from error
    return collections != {"params"}
