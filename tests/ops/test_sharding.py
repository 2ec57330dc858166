"""A batch spread over eight devices: the same values and gradients, no communication forward."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import OPERATIONS, PER_IMAGE
from jax.sharding import AxisType, NamedSharding, PartitionSpec

COLLECTIVES = re.compile(
    r"all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter|\bsend\b|\brecv\b"
)
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))


def spread(arguments: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Images, positions and masks split along the batch, kernels and biases on every device."""
    return {
        name: jax.device_put(
            jnp.asarray(array, jnp.float32),
            NamedSharding(mesh(), PartitionSpec("batch") if name in PER_IMAGE else PartitionSpec()),
        )
        for name, array in arguments.items()
    }


@every_operation
def test_forward_stays_on_its_device(operation):
    arguments = spread(operation.arguments(batch=16))
    compiled = jax.jit(lambda arguments: operation.fast(**arguments)).lower(arguments).compile()
    output = compiled(arguments)
    assert output.sharding.is_equivalent_to(NamedSharding(mesh(), PartitionSpec("batch")), output.ndim)
    assert not COLLECTIVES.findall(compiled.as_text())
    on_one = operation.fast(**jax.device_put(arguments, jax.devices()[0]))
    np.testing.assert_allclose(output, on_one, rtol=0, atol=1e-5)


@every_operation
def test_gradients_equal_one_devices(operation):
    @jax.jit
    def gradients(arguments):
        return jax.grad(lambda arguments: jnp.sum(jnp.sin(operation.fast(**arguments))))(arguments)

    arguments = spread(operation.arguments(batch=16))
    spread_out = gradients(arguments)
    on_one = gradients(jax.device_put(arguments, jax.devices()[0]))
    for name, expected in on_one.items():
        assert spread_out[name].sharding.is_equivalent_to(arguments[name].sharding, expected.ndim), name
        np.testing.assert_allclose(spread_out[name], expected, rtol=1e-5, atol=1e-4, err_msg=name)


def test_the_search_finds_collectives():
    """Else the absence of a match above would say nothing."""
    image = spread({"image": np.ones((16, 3))})["image"]
    assert COLLECTIVES.search(jax.jit(jnp.sum).lower(image).compile().as_text())
