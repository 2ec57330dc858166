"""Bytes that the instructions of a compiled program read and write, from their shapes."""

from geoattn_jax.bench.compiled.hlo import Computation, Instruction, Program

_READ_A_PART = ("dynamic-slice", "slice", "gather")
_WRITE_IN_PLACE = ("dynamic-update-slice", "scatter")


def moved_bytes(program: Program, instruction: Instruction, computation: Computation) -> int:
    """Bytes that one instruction moves; a fusion only what enters and leaves it.

    Of an array of which a part is read, or replaced in place, that part counts. What starts and ends
    separately is counted where it ends, as a copy of its result.
    """
    if instruction.opcode.endswith("-start"):
        return 0
    if instruction.opcode.endswith("-done"):
        return 2 * instruction.bytes
    if instruction.opcode != "fusion":
        operands = computation.operands(instruction)
        read = sum(_read(place, operand, instruction) for place, operand in enumerate(operands))
        return read + _written(instruction, computation)
    (fused,) = program.called(instruction)
    parameters = [inner for inner in fused.instructions.values() if inner.opcode == "parameter"]
    results = fused.operands(fused.root) if fused.root.opcode == "tuple" else [fused.root]
    return sum(_read_fused(parameter, fused) for parameter in parameters) + sum(
        _written(result, fused) for result in results
    )


def _read_fused(value: Instruction, fused: Computation) -> int:
    """What is read of a fusion's parameter: the most that one of its users reads."""
    reads = [0]
    for user in fused.instructions.values():
        if user.opcode != "parameter" and value.name in user.operands:
            if user.opcode == "bitcast":
                reads.append(_read_fused(user, fused))
            else:
                reads.append(_read(user.operands.index(value.name), value, user))
    return max(reads)


def _read(place: int, operand: Instruction, user: Instruction) -> int:
    if place == 0 and user.opcode in _READ_A_PART:
        return user.bytes
    if place == 0 and user.opcode in _WRITE_IN_PLACE:
        return 0
    return operand.bytes


def _written(instruction: Instruction, computation: Computation) -> int:
    if instruction.opcode == "bitcast":
        (operand,) = computation.operands(instruction)
        return _written(operand, computation)
    if instruction.opcode == "dynamic-update-slice":
        return computation.operands(instruction)[1].bytes
    if instruction.opcode == "scatter":
        updates = computation.operands(instruction)[-1]
        return 2 * updates.bytes  # read, added to, written
    return instruction.bytes
