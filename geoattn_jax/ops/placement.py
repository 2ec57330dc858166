"""Where arrays are: how their batch is divided among devices, as far as JAX's types tell.

On Explicit axes of a mesh the type of an array says over which axes it is divided, inside of `jax.shard_map`
over which it varies. An array made from nothing says neither, and cannot be the start of a loop that adds
divided arrays to it; an axis that is divided cannot be merged with another one without saying how.
"""

from typing import TypeVar

import jax
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, reshard
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.ops.sizes import Size

Arrays = TypeVar("Arrays")


def divided_alike(arrays: Arrays) -> Arrays:
    """The arrays, all of them with the same batch, divided as the first that is divided at all."""
    divisions = [_batch_sharding(array, array.ndim) for array in jax.tree.leaves(arrays)]
    division = next((sharding for sharding in divisions if sharding is not None), None)
    if division is None or None not in divisions:
        return arrays

    def divide(array: jax.Array) -> jax.Array:
        rest = jax.typeof(array).sharding.spec[1:]
        return reshard(array, NamedSharding(division.mesh, PartitionSpec(division.spec[0], *rest)))

    return jax.tree.map(divide, arrays)


def varying_alike(arrays: Arrays) -> Arrays:
    """The arrays, all made to vary over the axes over which any of them does.

    A backward pass then makes gradients of their types, and what varies less gets their sum, taken once.
    """
    axes = frozenset().union(*(_varying(array) for array in jax.tree.leaves(arrays)))
    return jax.tree.map(lambda array: lax.pcast(array, tuple(axes - _varying(array)), to="varying"), arrays)


def zeros(shape: tuple[Size, ...], dtype: DTypeLike, *, beside: jax.Array) -> Float[Array, " *s"]:
    """Zeros for each item of the batch of `beside`, placed as that is."""
    return lax.full_like(beside, 0, dtype, shape, sharding=_batch_sharding(beside, len(shape)))


def reshape(array: jax.Array, shape: tuple[Size, ...]) -> jax.Array:
    """`array.reshape(shape)`, where the first axis takes others in, or lets them go, and stays divided."""
    sharding = jax.typeof(array).sharding
    if AxisType.Explicit in sharding.mesh.axis_types and not any(sharding.spec):
        # Said although nothing is divided, for an axis outside of this one, under `vmap`, may be.
        return array.reshape(shape, out_sharding=NamedSharding(sharding.mesh, PartitionSpec()))
    return array.reshape(shape, out_sharding=_batch_sharding(array, len(shape)))


def sharding_of_sum(terms: jax.Array, like: jax.Array) -> NamedSharding | None:
    """For the `out_sharding` of a sum over the batch of `terms`: placed as `like`; None where JAX decides."""
    mesh = jax.typeof(terms).sharding.mesh
    return (
        NamedSharding(mesh, jax.typeof(like).sharding.spec) if AxisType.Explicit in mesh.axis_types else None
    )


def _varying(array: jax.Array) -> frozenset[str]:
    return jax.typeof(array).manual_axis_type.varying


def _batch_sharding(array: jax.Array, rank: int) -> NamedSharding | None:
    """Of an array with the same division of its first axis, and of no other; None where the type has none."""
    sharding = jax.typeof(array).sharding
    first = sharding.spec[0]
    return None if first is None else NamedSharding(sharding.mesh, PartitionSpec(first, *[None] * (rank - 1)))
