"""Convolutional and dense layers that start as those of Keras, in which paper A's program was written.

Kernels are glorot-uniform, biases zero, paddings "SAME".
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike


def layers(dtype: DTypeLike | None = None) -> tuple[Callable[..., nn.Conv], Callable[..., nn.Dense]]:
    """What makes a convolution and a dense layer that compute in a dtype; None to infer it."""
    glorot = nn.initializers.glorot_uniform()
    conv = partial(nn.Conv, kernel_init=glorot, dtype=dtype)
    return conv, partial(nn.Dense, kernel_init=glorot, dtype=dtype)
