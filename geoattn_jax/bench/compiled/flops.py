"""Operations of the matrix products and convolutions of a lowered program.

Lowered, not compiled: there they still are products, whatever calls or windows a compiler puts in their
place. `jax.stages.Compiled.cost_analysis` counts the bodies of most loops once.
"""

import math
import re
from collections.abc import Iterator

from geoattn_jax.bench.compiled.costs import executed
from geoattn_jax.bench.compiled.hlo import Computation, Instruction, Program


def product_flops(program: Program) -> int:
    """Two for each multiplication and its addition, loops multiplied by their trips."""
    return sum(
        step.times * _FLOPS[step.instruction.opcode](step.instruction, step.frame.computation)
        for step in executed(program)
        if step.instruction.opcode in _FLOPS
    )


def _dot(instruction: Instruction, computation: Computation) -> int:
    left = computation.operands(instruction)[0].dims
    summed = math.prod(left[axis] for axis in instruction.integers("lhs_contracting_dims"))
    return 2 * math.prod(instruction.dims) * summed


def _convolution(instruction: Instruction, computation: Computation) -> int:
    """Only products of what is inside the input count, as in XLA's own analysis."""
    image, kernel = computation.operands(instruction)
    layout = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    batch = image.dims[layout[1].index("b")]
    inputs, outputs = (kernel.dims[layout[2].index(label)] for label in "io")
    (batch_groups,) = instruction.integers("batch_group_count") or (1,)
    window = _window(instruction)
    pairs = 1
    for axis, sizes in enumerate(window):
        size = image.dims[layout[1].index(str(axis))]
        pairs *= _valid_pairs(size, instruction.dims[layout[3].index(str(axis))], **sizes)
    return 2 * (batch // batch_groups) * inputs * outputs * pairs


def _window(instruction: Instruction) -> Iterator[dict[str, int]]:
    """For each spatial axis the kernel's size, where it starts, and its steps."""
    found = re.search(r"window=\{([^}]*)\}", instruction.attributes)
    if found is None or not found[1]:
        return
    fields = dict(field.split("=") for field in found[1].split())
    sizes = fields["size"].split("x")
    for axis, size in enumerate(sizes):

        def step(name: str, axis: int = axis) -> int:
            return int(fields[name].split("x")[axis]) if name in fields else 1

        low = int(fields["pad"].split("x")[axis].split("_")[0]) if "pad" in fields else 0
        yield {
            "taps": int(size), "low": low, "stride": step("stride"),
            "image_step": step("lhs_dilate"), "kernel_step": step("rhs_dilate"),
        }  # fmt: skip


def _valid_pairs(
    size: int, out: int, *, taps: int, low: int, stride: int, image_step: int, kernel_step: int
) -> int:
    """How many pairs of an output and a tap meet a pixel of the image along one axis."""
    end = (size - 1) * image_step
    return sum(
        0 <= position <= end and position % image_step == 0
        for output in range(out)
        for tap in range(taps)
        for position in [output * stride + tap * kernel_step - low]
    )


_FLOPS = {"dot": _dot, "convolution": _convolution}
