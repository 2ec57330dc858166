"""XLA programs in text form, parsed: computations made of instructions.

Text, because it is what `jax.stages.Compiled.as_text` gives on every platform; the objects that jaxlib has
for parsed programs know neither shapes nor attributes. Lowered programs print as compiled ones do, without
the `%` before names.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

Dims = tuple[int, ...]

_ARRAY = re.compile(r"\b([a-z]+[0-9]*[a-z0-9]*)\[([0-9,<=]*)\]")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+)(?: \(.*\) -> .*)? \{$")
_INSTRUCTION = re.compile(r"(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r" *([\w\-]+)\(")
_CALLED = re.compile(r"\b(\w+)=(?:%?([\w.\-]+)|\{([^{}]*)\})")
_CALLING = (
    "calls", "to_apply", "body", "condition", "branch_computations", "true_computation", "false_computation",
    "called_computations",
)  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
      name: unique in its computation.
      opcode: such as "fusion".
      shape: as printed; a tuple's in parentheses.
      operands: the names of what it works on; of a constant its value, of a parameter its number.
      attributes: as printed, everything behind the operands.
    """

    name: str
    opcode: str
    shape: str
    operands: tuple[str, ...]
    attributes: str

    @cached_property
    def arrays(self) -> list[tuple[str, Dims]]:
        """Element type and dimensions of the result; of each part, if it is a tuple."""
        return [
            (dtype, tuple(int(size.removeprefix("<=")) for size in dims.split(",") if size))
            for dtype, dims in _ARRAY.findall(self.shape)
        ]

    @property
    def dims(self) -> Dims:
        """The dimensions of a result that is one array."""
        return self.arrays[0][1]

    @property
    def bytes(self) -> int:
        """Of the result, without the padding of its layout."""
        return sum(math.prod(dims) * itemsize(dtype) for dtype, dims in self.arrays)

    @cached_property
    def called(self) -> dict[str, list[str]]:
        """The computations that it names, by the attribute that names them."""
        return {
            key: [name.strip().removeprefix("%") for name in (several or one).split(",")]
            for key, one, several in _CALLED.findall(self.attributes)
            if key in _CALLING and (one or several)
        }

    @property
    def source(self) -> str:
        """The operation of the traced program that it was made from, such as "scatter-add"; "" if unknown."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1].rpartition("/")[2] if found else ""

    def integers(self, attribute: str) -> Dims:
        """An attribute such as dimensions={0,2} or index=1; () if it is missing."""
        found = re.search(rf"\b{attribute}=\{{?([0-9,]*)", self.attributes)
        return tuple(int(number) for number in found[1].split(",") if number) if found else ()


@dataclass(frozen=True)
class Computation:
    """Instructions by name, each after those that it works on."""

    name: str
    instructions: Mapping[str, Instruction]
    root: Instruction

    def operands(self, instruction: Instruction) -> list[Instruction]:
        """What an instruction of this computation works on."""
        return [self.instructions[name] for name in instruction.operands]


@dataclass(frozen=True)
class Program:
    """A module: its computations by name, and where it starts."""

    computations: Mapping[str, Computation]
    entry: Computation

    def called(self, instruction: Instruction) -> Iterator[Computation]:
        """The computations that an instruction names."""
        for names in instruction.called.values():
            yield from (self.computations[name] for name in names)


def parse(text: str) -> Program:
    """Reads a program.

    Raises: ValueError if it has no entry, or a line in a computation is no instruction.
    """
    computations: dict[str, Computation] = {}
    entry = None
    lines = iter(text.splitlines())
    for line in lines:
        header = _HEADER.match(line)
        if header is None:
            continue
        computation = _computation(header[2], lines)
        computations[computation.name] = computation
        if header[1]:
            entry = computation
    if entry is None:
        raise ValueError(f"hlo: no entry computation in a text that starts with {text[:80]!r}")
    return Program(computations, entry)


def itemsize(dtype: str) -> int:
    """Bytes of one element; 0 for tokens and other types that hold no numbers."""
    if dtype == "pred":
        return 1
    kind = re.fullmatch(r"(bf|f|s|u|c)(\d+)(\w*)", dtype)
    return 0 if kind is None else max(int(kind[2]) // 8, 1)


def _computation(name: str, lines: Iterator[str]) -> Computation:
    instructions, root = {}, None
    for line in lines:
        if line.strip().startswith("}"):  # behind it may be the thread that runs it
            break
        found = _INSTRUCTION.match(line.strip())
        if found is None:
            raise ValueError(f"hlo: no instruction in computation {name}: {line.strip()[:200]!r}")
        instruction = _instruction(found[2], found[3])
        instructions[instruction.name] = instruction
        if found[1]:
            root = instruction
    if root is None:
        raise ValueError(f"hlo: computation {name} has no root")
    return Computation(name, instructions, root)


def _instruction(name: str, text: str) -> Instruction:
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    opcode = _OPCODE.match(text, end)
    if opcode is None:
        raise ValueError(f"hlo: {name} has no opcode: {text[:200]!r}")
    close = _closing(text, opcode.end() - 1)
    inside = text[opcode.end() : close - 1]
    if opcode[1] in ("constant", "parameter"):
        operands = (inside,)
    else:
        operands = tuple(
            part.split()[-1].removeprefix("%") for part in _split(re.sub(r"/\*.*?\*/", "", inside)) if part
        )
    return Instruction(name, opcode[1], text[:end], operands, text[close:].removeprefix(", "))


def _closing(text: str, start: int) -> int:
    """The position behind the parenthesis that closes the one at `start`."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, start):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.end()
    raise ValueError(f"hlo: a parenthesis is not closed: {text[start : start + 200]!r}")


def _split(text: str) -> Iterator[str]:
    """The parts between commas outside of brackets."""
    depth, start = 0, 0
    for found in re.finditer(r"[()\[\]{},]", text):
        if found[0] in "([{":
            depth += 1
        elif found[0] in ")]}":
            depth -= 1
        elif depth == 0:
            yield text[start : found.start()].strip()
            start = found.end()
    yield text[start:].strip()
