"""Convolutional and dense layers that start glorot-uniform, as those of Keras, paper A's library, do.

Biases are zero, paddings "SAME".
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike

initializer = nn.initializers.glorot_uniform()


def layers(dtype: DTypeLike | None = None) -> tuple[Callable[..., nn.Conv], Callable[..., nn.Dense]]:
    """What makes a convolution and a dense layer that compute in a dtype; None to infer it."""
    conv = partial(nn.Conv, kernel_init=initializer, dtype=dtype)
    return conv, partial(nn.Dense, kernel_init=initializer, dtype=dtype)
