"""Where a value of a program comes from, through fusions, calls and tuples."""

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Union

from geoattn_jax.bench.compiled.hlo import Computation, Instruction, Program

_SAME = ("copy", "bitcast", "reshape", "copy-start", "copy-done", "opt-barrier", "convert", "broadcast")
_ARITHMETIC = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "minimum": min,
    "maximum": max,
}


@dataclass(frozen=True)
class Carried:
    """What is known of the tuple that a loop carries: some of its integers, by their place in it."""

    integers: Mapping[int, int]


@dataclass(frozen=True, eq=False)  # told apart as objects: a computation may be called twice
class Frame:
    """A computation, called with these arguments; None for one of which nothing is known."""

    program: Program
    computation: Computation
    arguments: Sequence[Union["Value", Carried, None]] = ()
    _inner: dict[str, "Frame"] = field(default_factory=dict, init=False, repr=False)

    @property
    def root(self) -> "Value":
        return Value(self, self.computation.root)

    def value(self, name: str) -> "Value":
        """The value of that name."""
        return Value(self, self.computation.instructions[name])

    def inner(self, call: Instruction) -> "Frame":
        """The frame of the computation that a fusion or call in this frame runs."""
        if call.name not in self._inner:
            (called,) = self.program.called(call)
            arguments = [self.value(name) for name in call.operands]
            self._inner[call.name] = Frame(self.program, called, arguments)
        return self._inner[call.name]


@dataclass(frozen=True)
class Value:
    """What an instruction computes in a frame."""

    frame: Frame
    instruction: Instruction

    @property
    def operands(self) -> list["Value"]:
        if self.instruction.opcode in ("constant", "parameter"):
            return []
        return [self.frame.value(name) for name in self.instruction.operands]


def is_call(instruction: Instruction) -> bool:
    """Whether its value is that of the computation it names."""
    return instruction.opcode in ("fusion", "call")


def resolve(value: Value) -> Value:
    """Where a value was computed: inside the fusion or call, behind the tuple, before copies."""
    while True:
        found = _one_step(value)
        if found is None:
            return value
        value = found


def _one_step(value: Value) -> Value | None:
    frame, instruction = value.frame, value.instruction
    if is_call(instruction):
        return frame.inner(instruction).root
    if instruction.opcode in _SAME:
        return value.operands[0]
    if instruction.opcode == "parameter" and frame.arguments:
        argument = frame.arguments[int(instruction.operands[0])]
        return argument if isinstance(argument, Value) else None
    if instruction.opcode == "get-tuple-element":
        whole = resolve(value.operands[0])
        if whole.instruction.opcode == "tuple":
            return whole.operands[instruction.integers("index")[0]]
    return None


def integer(value: Value) -> int | None:
    """The value, if it is one integer that can be told from the program alone."""
    value = resolve(value)
    instruction = value.instruction
    if instruction.opcode == "constant":
        text = instruction.operands[0].strip("{}")
        return int(text) if text.lstrip("-").isdigit() else None
    if instruction.opcode in _ARITHMETIC:
        numbers = [integer(operand) for operand in value.operands]
        return None if None in numbers else functools.reduce(_ARITHMETIC[instruction.opcode], numbers)
    place = carried_place(value)
    if place is not None:
        return _carried(value).integers.get(place)
    return None


def carried_place(value: Value) -> int | None:
    """Which part of the tuple that its loop carries a resolved value is; None if it is none."""
    if value.instruction.opcode != "get-tuple-element" or _carried(value) is None:
        return None
    return value.instruction.integers("index")[0]


def _carried(value: Value) -> Carried | None:
    whole = resolve(value.operands[0])
    if whole.instruction.opcode != "parameter" or not whole.frame.arguments:
        return None
    argument = whole.frame.arguments[int(whole.instruction.operands[0])]
    return argument if isinstance(argument, Carried) else None


def origins(value: Value, stops: Callable[[Value], bool]) -> Iterator[Value]:
    """Everything that a value depends on, as far as `stops` says not to look behind it."""
    seen, waiting = set(), [value]
    while waiting:
        found = resolve(waiting.pop())
        if found in seen:
            continue
        seen.add(found)
        yield found
        if not stops(found):
            waiting.extend(found.operands)


def everything(frame: Frame) -> Iterator[Value]:
    """All values of a frame and of the fusions in it."""
    for instruction in frame.computation.instructions.values():
        yield Value(frame, instruction)
        if is_call(instruction):
            yield from everything(frame.inner(instruction))
