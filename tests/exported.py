"""Programs that were exported with symbols for sizes, written, and read back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import schedules
from jax import export

from geoattn_jax.native import by_jax_alone
from geoattn_jax.ops.sizes import is_number


def check_exported(
    function: Callable, arguments: Callable[..., tuple], sizes: list[tuple[int, ...]], symbols: str
) -> None:
    """Asserts that a program exported once gives what `function` gives directly, at each of the sizes.

    Values and, for every floating-point argument, gradients.

    Args:
      function: of arrays.
      arguments: makes them, or with symbols in place of sizes their shapes, from the sizes.
      sizes: at which to call it.
      symbols: names for the sizes, as in "b, h, w".
    """
    pytest.importorskip("flatbuffers", reason="needs flatbuffers: pip install geoattn-jax[export]")

    def both(*arrays):
        outputs, vjp = jax.vjp(function, *arrays)
        return outputs, vjp(jax.tree.map(jnp.cos, outputs))

    symbolic = arguments(*export.symbolic_shape(symbols))
    program = export.deserialize(export.export(jax.jit(both))(*symbolic).serialize())
    for one in sizes:
        arrays = arguments(*one)
        computed = program.call(*arrays)
        with schedules.of_cpus(), by_jax_alone():  # as in every exported program
            expected = jax.jit(both)(*arrays)
        assert jax.tree.structure(computed) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(computed), jax.tree.leaves(expected), strict=True):
            if a.dtype != jax.dtypes.float0:
                scale = np.abs(b).max(initial=1e-300)
                np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=1e-5)


def array(seed: int, *shape: Any, like: Callable[..., np.ndarray] | None = None) -> Any:
    """Normal numbers in float32, or with a symbol in the shape only that."""
    if not is_number(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)
    random = np.random.default_rng(seed)
    return jnp.asarray(random.normal(size=shape) if like is None else like(random, shape), jnp.float32)


def in_and_around(*hw: int) -> Callable[..., np.ndarray]:
    """Positions in and around an image, for `array`."""
    return lambda random, shape: random.uniform(-2, 1 + np.max(hw), size=shape)
