"""Loops of a program: how often they turn, and whether they take one index after another."""

import re
from dataclasses import dataclass

from geoattn_jax.bench.compiled.dataflow import (
    Carried,
    Frame,
    Value,
    carried_place,
    everything,
    integer,
    origins,
    resolve,
)
from geoattn_jax.bench.compiled.hlo import Computation, Instruction, Program

_INDICES_FROM = {"dynamic-slice": 1, "dynamic-update-slice": 2}  # the first operand that is an index
_INTEGERS = ("s32", "u32", "s64", "u64")
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclass(frozen=True)
class Loop:
    """A `while`.

    Attributes:
      name: of the instruction.
      source: the operation of the traced program that it was made from, such as "while" or "scatter-add".
      times: how often it is reached.
      trips: how often its body runs each time; None if the text does not tell.
      condition, body: what it runs, with those integers that stay the same.
    """

    name: str
    source: str
    times: int
    trips: int | None
    condition: Frame
    body: Frame

    @property
    def takes_index_by_index(self) -> bool:
        """Whether it was made from a scatter or gather that the target cannot do at once, or is like one."""
        return self.source.startswith(("scatter", "gather")) or walks_indices(self.body)

    def count(self, opcode: str) -> int:
        """How many such instructions there are in its body, in loops within it, too."""
        return _count(self.body, opcode)


def read_loop(frame: Frame, instruction: Instruction, times: int) -> Loop:
    """What a `while` does."""
    computations = frame.program.computations
    condition, body = (computations[instruction.called[part][0]] for part in ("condition", "body"))
    state = Carried(_initial(frame, instruction))
    known = _KNOWN_TRIPS.search(instruction.attributes)
    trips = int(known[1]) if known else _trips(frame.program, condition, body, state)
    kept = Carried(_unchanged(Frame(frame.program, body, [state]), state))
    return Loop(
        instruction.name,
        instruction.source,
        times,
        trips,
        *(Frame(frame.program, part, [kept]) for part in (condition, body)),
    )


def walks_indices(body: Frame) -> bool:
    """Whether an array of integers that the loop carries is read at one place and says where to read next."""
    return any(
        _is_carried_index(origin)
        for value in everything(body)
        if value.instruction.opcode in _INDICES_FROM
        for index in value.operands[_INDICES_FROM[value.instruction.opcode] :]
        for origin in origins(index, stops=_is_carried_index)
    )


def _is_carried_index(value: Value) -> bool:
    if value.instruction.opcode != "dynamic-slice" or value.instruction.arrays[0][0] not in _INTEGERS:
        return False
    read = resolve(value.operands[0])
    return carried_place(read) is not None and max(read.instruction.dims, default=1) > 1


def _initial(frame: Frame, loop: Instruction) -> dict[int, int]:
    whole = resolve(frame.value(loop.operands[0]))
    if whole.instruction.opcode != "tuple":
        return {}
    numbers = {place: integer(part) for place, part in enumerate(whole.operands)}
    return {place: number for place, number in numbers.items() if number is not None}


def _unchanged(body: Frame, state: Carried) -> dict[int, int]:
    """Those of the known integers that a trip leaves as they are."""
    root = resolve(body.root)
    if root.instruction.opcode != "tuple":
        return {}
    return {
        place: number
        for place, number in state.integers.items()
        if carried_place(resolve(root.operands[place])) == place
    }


def _count(frame: Frame, opcode: str) -> int:
    own = (value.instruction.opcode for value in everything(frame))
    loops = [step for step in frame.computation.instructions.values() if step.opcode == "while"]
    return sum(found == opcode for found in own) + sum(
        _count(Frame(frame.program, frame.program.computations[loop.called["body"][0]]), opcode)
        for loop in loops
    )


def _trips(program: Program, condition: Computation, body: Computation, state: Carried) -> int | None:
    """From what the condition compares before the first, the second and the third trip."""
    distances = []
    for _ in range(3):
        compared = resolve(Frame(program, condition, [state]).root)
        numbers = [integer(operand) for operand in compared.operands]
        if compared.instruction.opcode != "compare" or None in numbers:
            return None
        distances.append(numbers[0] - numbers[1])
        root = resolve(Frame(program, body, [state]).root)
        if root.instruction.opcode != "tuple":
            return None
        after = {place: integer(root.operands[place]) for place in state.integers}
        state = Carried({place: number for place, number in after.items() if number is not None})
    start, step = distances[0], distances[1] - distances[0]
    if step == 0 or distances[2] - distances[1] != step:
        return None
    direction = compared.instruction.attributes.partition("direction=")[2][:2]
    if direction in ("GT", "GE"):
        start, step, direction = -start, -step, {"GT": "LT", "GE": "LE"}[direction]
    if direction == "LE":
        start, direction = start - 1, "LT"
    if direction == "LT" and step > 0:
        return max(-(start // step), 0)
    if direction == "NE" and -start % step == 0 and -start // step >= 0:
        return -start // step
    return None
