"""Ways to divide a batch among devices, and what a function makes of it: values, gradients, collectives."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

COLLECTIVES = re.compile(
    r" (all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter|send|recv)"
    r"(?:-start)?\("
)


@dataclass(frozen=True)
class Placement:
    """The batch divided over four devices, and over a second axis of the mesh not at all."""

    axes: AxisType
    per_device: bool = False  # whether the function is given each device's share, by shard_map
    second_axis: bool = False

    def mesh(self) -> jax.sharding.Mesh:
        names = ("batch", "unused") if self.second_axis else ("batch",)
        sizes = (4, 2)[: len(names)]
        devices = jax.devices()[: int(np.prod(sizes))]
        return jax.make_mesh(sizes, names, axis_types=(self.axes,) * len(names), devices=devices)


PLACEMENTS = {
    "explicit": Placement(AxisType.Explicit),
    "auto": Placement(AxisType.Auto),
    "shard_map": Placement(AxisType.Auto, per_device=True),
    "shard_map of explicit": Placement(AxisType.Explicit, per_device=True),
    "explicit and unused": Placement(AxisType.Explicit, second_axis=True),
    "auto and unused": Placement(AxisType.Auto, second_axis=True),
    "shard_map and unused": Placement(AxisType.Auto, per_device=True, second_axis=True),
}
BATCH, WHOLE = PartitionSpec("batch"), PartitionSpec()


@dataclass(eq=False)
class Subject:
    """A function whose batch can be divided, and once it was asked for what it gives on one device.

    Attributes:
      function: of `divided`, `whole` and `constants`.
      divided: floating-point arrays with the batch as their first axis; gradients stay divided.
      whole: parameters, on every device; their gradients are sums over the batch.
      constants: whole numbers with the batch as their first axis.
    """

    function: Callable[[Any, Any, Any], Any]
    divided: Any
    whole: Any = ()
    constants: Any = ()

    def outputs_and_gradients(self, divided: Any, whole: Any, constants: Any) -> tuple[Any, Any]:
        """The outputs, and the gradients in what is divided, of the sum of the outputs' sines."""
        outputs, pull_back = jax.vjp(lambda divided: self.function(divided, whole, constants), divided)
        return outputs, *pull_back(jax.tree.map(jnp.cos, outputs))

    def parameters_gradients(self, divided: Any, whole: Any, constants: Any) -> tuple[Any]:
        """The gradients in what is whole of the same sum."""
        outputs, pull_back = jax.vjp(lambda whole: self.function(divided, whole, constants), whole)
        return pull_back(jax.tree.map(jnp.cos, outputs))

    @cached_property
    def whole_outputs_and_gradients(self) -> tuple[Any, Any]:
        """On one device."""
        return jax.jit(self.outputs_and_gradients)(self.divided, self.whole, self.constants)

    @cached_property
    def whole_parameters_gradients(self) -> tuple[Any]:
        """On one device; nothing if there are no parameters."""
        if not jax.tree.leaves(self.whole):
            return ()
        return jax.jit(self.parameters_gradients)(self.divided, self.whole, self.constants)


def check_divided(subject: Subject, placement: Placement, *, jit: bool) -> None:
    """Asserts equality with one device, and under jit that nothing is exchanged but parameters' gradients."""
    arguments = subject.divided, subject.whole, subject.constants
    for method, expected, spec, allowed in (
        (subject.outputs_and_gradients, subject.whole_outputs_and_gradients, BATCH, set()),
        (subject.parameters_gradients, subject.whole_parameters_gradients, WHOLE, {"all-reduce"}),
    ):
        if not expected:
            continue
        result, exchanged = run_divided(method, placement, arguments, spec, jit=jit)
        assert exchanged <= allowed
        for one, other in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
            assert one.sharding.is_equivalent_to(NamedSharding(placement.mesh(), spec), one.ndim)
            scale = np.abs(other).max(initial=1e-300)
            np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=1e-9)


def run_divided(
    function: Callable,
    placement: Placement,
    arguments: tuple[Any, Any, Any],
    spec: PartitionSpec,
    *,
    jit: bool,
) -> tuple[Any, set[str]]:
    """What `function` gives for (divided, whole, constants), and the kinds of collectives in its program."""
    mesh = placement.mesh()
    in_specs = BATCH, WHOLE, BATCH
    placed = tuple(
        jax.device_put(argument, NamedSharding(mesh, one))
        for argument, one in zip(arguments, in_specs, strict=True)
    )
    if placement.per_device:
        function = jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=spec)
    with jax.set_mesh(mesh) if placement.axes == AxisType.Explicit else contextlib.nullcontext():
        if not jit:
            return function(*placed), set()
        compiled = jax.jit(function).lower(*placed).compile()
        return compiled(*placed), set(COLLECTIVES.findall(compiled.as_text()))
