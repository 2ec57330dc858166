"""What a compiled program does, added up over everything it runs, loops multiplied by their trips.

Only the cycles are the compiler's estimate: the TPU compiler writes one beside most instructions, but none
beside gathers, scatters, copies that overlap with computation, and collectives. All else is counted here.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from geoattn_jax.bench.compiled.dataflow import Frame, is_call
from geoattn_jax.bench.compiled.hlo import Computation, Instruction, Program
from geoattn_jax.bench.compiled.loops import Loop, read_loop
from geoattn_jax.bench.compiled.traffic import moved_bytes

COLLECTIVES = (
    "all-reduce", "all-gather", "all-to-all", "collective-broadcast", "collective-permute",
    "ragged-all-to-all", "reduce-scatter",
)  # fmt: skip
# Names for values, or the control around other computations: neither run nor moved.
_FREE = (
    "add-dependency", "after-all", "bitcast", "call", "conditional", "constant", "domain",
    "get-tuple-element", "opt-barrier", "parameter", "partition-id", "replica-id", "tuple", "while",
)  # fmt: skip
_NO_ESTIMATE = 2**63 - 1  # of what runs on a SparseCore
_ESTIMATE = re.compile(r'"estimated_cycles":"(\d+)"')


@dataclass(frozen=True)
class Costs:
    """One call of a compiled program.

    Attributes:
      cycles: the compiler's estimate; None where it writes none, for a GPU.
      bytes: read and written by instructions, from their shapes; a fusion's own intermediates do not count.
      gathered, scattered: indices of all gathers and scatters; trips of loops over indices count as
        scattered.
      launches: instructions run one after another; on a GPU about the number of kernels.
      collectives: how many of each kind.
      loops: every `while`.
    """

    cycles: int | None
    bytes: int
    gathered: int
    scattered: int
    launches: int
    collectives: dict[str, int]
    loops: list[Loop]

    @property
    def index_loops(self) -> list[Loop]:
        """The loops that take one index after another."""
        return [loop for loop in self.loops if loop.takes_index_by_index]


@dataclass(frozen=True)
class Step:
    """An instruction that is run by itself, where, and how often."""

    instruction: Instruction
    frame: Frame
    times: int


def costs(program: Program) -> Costs:
    """Adds up a compiled program."""
    steps = list(executed(program))
    run = [step for step in steps if step.instruction.opcode not in _FREE]
    loops = [
        read_loop(step.frame, step.instruction, step.times)
        for step in steps
        if step.instruction.opcode == "while"
    ]
    estimates = [
        int(number) * step.times
        for step in run
        for number in _ESTIMATE.findall(step.instruction.attributes)
        if int(number) != _NO_ESTIMATE
    ]
    indices, collectives = Counter(), Counter()
    for step in run:
        for instruction, computation in _with_fused(program, step.instruction, step.frame.computation):
            kind = instruction.opcode.removesuffix("-start")
            if kind in ("gather", "scatter"):
                indices[kind] += step.times * _indices(instruction, computation)
            elif kind in COLLECTIVES:
                collectives[kind] += step.times
    walked = sum(loop.times * (loop.trips or 1) for loop in loops if loop.takes_index_by_index)
    return Costs(
        cycles=sum(estimates) if estimates else None,
        bytes=sum(
            step.times * moved_bytes(program, step.instruction, step.frame.computation) for step in run
        ),
        gathered=indices["gather"],
        scattered=indices["scatter"] + walked,
        launches=sum(step.times for step in run if not step.instruction.opcode.endswith("-done")),
        collectives=dict(sorted(collectives.items())),
        loops=loops,
    )


def uses_float64(program: Program) -> bool:
    """Whether a program has a float64 or a complex number of two."""
    return any(
        dtype in ("f64", "c128")
        for computation in program.computations.values()
        for instruction in computation.instructions.values()
        for dtype, _ in instruction.arrays
    )


def executed(program: Program) -> Iterator[Step]:
    """Everything that is run by itself, what is fused into it aside. Every branch counts as taken."""
    return _executed(Frame(program, program.entry), 1)


def _executed(frame: Frame, times: int) -> Iterator[Step]:
    for instruction in frame.computation.instructions.values():
        yield Step(instruction, frame, times)
        if instruction.opcode == "while":
            loop = read_loop(frame, instruction, times)
            turns = times * (1 if loop.trips is None else loop.trips)
            yield from _executed(loop.condition, turns + times)
            yield from _executed(loop.body, turns)
        elif instruction.opcode == "call":
            yield from _executed(frame.inner(instruction), times)
        elif instruction.opcode in ("async-start", "call-start", "conditional"):
            for computation in frame.program.called(instruction):
                yield from _executed(Frame(frame.program, computation), times)


def _with_fused(
    program: Program, instruction: Instruction, computation: Computation
) -> Iterator[tuple[Instruction, Computation]]:
    """An instruction and, if it is a fusion, those in it."""
    yield instruction, computation
    if is_call(instruction):
        for fused in program.called(instruction):
            for inner in fused.instructions.values():
                yield from _with_fused(program, inner, fused)


def _indices(instruction: Instruction, computation: Computation) -> int:
    """How many places a gather reads or a scatter writes."""
    operands = computation.operands(instruction)
    dims = operands[1 if instruction.opcode == "gather" else (len(operands) - 1) // 2].dims
    (vector_axis,) = instruction.integers("index_vector_dim")
    return math.prod(size for axis, size in enumerate(dims) if axis != vector_axis)
