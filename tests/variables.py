"""Inputs and parameters drawn by numpy: compiling JAX's random numbers takes a second for every shape."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import schedules


def normal(seed: int, *shape: int, dtype: Any = "float32") -> jax.Array:
    """Standard normal numbers."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def normal_init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """An initializer that ignores its key: normal numbers, the same for the same shape."""
    return normal(1, *shape, dtype=dtype)


def random_variables(
    model: nn.Module, *inputs: Any, seed: int = 2, scale: float = 0.3, **options: Any
) -> Any:
    """The model's variables, every one of them random, whatever they start from."""
    with schedules.of_cpus():  # which have no part in the shapes
        shapes = jax.eval_shape(partial(model.init, **options), jax.random.key(0), *inputs)
    leaves, structure = jax.tree.flatten(shapes)
    numbers = [scale * normal(seed + n, *leaf.shape, dtype=leaf.dtype) for n, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, numbers)
