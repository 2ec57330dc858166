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
import schedules
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from geoattn_jax.bench.compiled import hlo

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

    def outputs_and_gradients(self, divided: Any, whole: Any, constants: Any) -> tuple[tuple[Any, Any], Any]:
        """The outputs, and of the sum of their sines the gradients in what is divided and in what is whole.

        What has the batch as its first axis comes first, together.
        """
        outputs, pull_back = jax.vjp(
            lambda divided, whole: self.function(divided, whole, constants), divided, whole
        )
        of_divided, of_whole = pull_back(jax.tree.map(jnp.cos, outputs))
        return (outputs, of_divided), of_whole

    def first_of_them(self, divided: Any, whole: Any, constants: Any) -> tuple[Any, Any]:
        """Those that have the batch as their first axis."""
        return self.outputs_and_gradients(divided, whole, constants)[0]

    @cached_property
    def on_one_device(self) -> tuple[tuple[Any, Any], Any]:
        """The same, with nothing divided."""
        with schedules.of_cpus():
            return jax.jit(self.outputs_and_gradients)(self.divided, self.whole, self.constants)


def check_divided(subject: Subject, placement: Placement, *, jit: bool, atol: float = 1e-9) -> None:
    """Asserts equality with one device, and under jit that nothing is exchanged but parameters' gradients."""
    arguments, specs = (subject.divided, subject.whole, subject.constants), (BATCH, WHOLE)
    results, program = run_divided(subject.outputs_and_gradients, placement, arguments, specs, jit=jit)
    assert collectives(program) <= {"all-reduce"}
    if collectives_before(program, len(jax.tree.leaves(results[0]))):
        # Of a loop that makes gradients of both kinds only a program without the parameters' can tell.
        _, program = run_divided(subject.first_of_them, placement, arguments, BATCH, jit=jit)
        assert not collectives(program)
    for result, expected, spec in zip(results, subject.on_one_device, specs, strict=True):
        for one, other in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
            assert one.sharding.is_equivalent_to(NamedSharding(placement.mesh(), spec), one.ndim)
            scale = np.abs(other).max(initial=1e-300)
            np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=atol)


def collectives(program: str) -> set[str]:
    """The kinds of collectives in the text of a compiled program."""
    return set(COLLECTIVES.findall(program))


def collectives_before(program: str, results: int) -> set[str]:
    """The kinds of those that any of the program's first results depends on."""
    if not collectives(program):
        return set()
    parsed = hlo.parse(program)
    root = parsed.entry.root
    several = root.opcode == "tuple"
    waiting = parsed.entry.operands(root)[:results] if several else [root]
    needed = {}
    while waiting:
        instruction = waiting.pop()
        if instruction.name not in needed and instruction.opcode not in ("parameter", "constant"):
            needed[instruction.name] = instruction
            waiting += parsed.entry.operands(instruction)
    return set().union(*(_collectives_in(parsed, instruction) for instruction in needed.values()))


def _collectives_in(program: hlo.Program, instruction: hlo.Instruction) -> set[str]:
    """The kinds of those that an instruction is, or that are in a computation that it calls."""
    called = (one for part in program.called(instruction) for one in part.instructions.values())
    return collectives(f" {instruction.opcode}(").union(*(_collectives_in(program, one) for one in called))


def run_divided(
    function: Callable,
    placement: Placement,
    arguments: tuple[Any, Any, Any],
    spec: PartitionSpec | tuple[PartitionSpec, ...],
    *,
    jit: bool,
) -> tuple[Any, str]:
    """What `function` gives for (divided, whole, constants), and under jit the text of its program."""
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
            return function(*placed), ""
        compiled = jax.jit(function).lower(*placed).compile()
        return compiled(*placed), compiled.as_text()
