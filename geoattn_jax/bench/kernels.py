"""The kernels against plain convolution, their own obvious form, and PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from geoattn_jax.bench import torch_rivals
from geoattn_jax.bench.kernel_workloads import BOTH, FORWARD, WORKLOADS, Workload, normal
from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Precision, Suite
from geoattn_jax.native import by_jax_alone, kernels

BY_JAX = f"{OURS} by JAX alone"
POSITIONS = ("positions", "offsets", "locations")  # the inputs that are float32 in every precision

# In which precision JAX multiplies on an accelerator.
MULTIPLIED: dict[Precision, str] = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
# How far contenders may differ, see `Case`: sums of products whose factors were rounded to 11 or 8 bits.
TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "tf32": 3e-3, "bfloat16": 3e-2}

METHOD = """\
*forward+backward* returns the output and, for a given gradient of the output, the gradients with respect to
all float inputs: image and positions (S1-S5), image, offsets and kernel (D1-D3), image and offsets (R1),
values, locations and weights (A1), image and kernel (plain convolution). Everything is float32, on the same
random numbers.

- `geoattn_jax` is this package's operation under `jax.jit`, with its native kernels where it has any: R1, D1
  and D2, and the gradients of S1-S3; *by JAX alone* is the same without them. *obvious gather* is
  `geoattn_jax.ops.reference`, the same operation written plainly and differentiated by JAX.
- Each library gets its own natural layout, contiguous: NHWC here, NCHW in PyTorch. PyTorch is also given
  positions already normalized to [-1, 1], for R1 too, where this package adds offsets to the grid itself.
- *Plain convolution* has the shape of the deformable one and none of its sampling: the yardstick, since
  torchvision's deformable convolution runs serially on a CPU.
- All positions are odd multiples of 1/64 px, so that no library's rounding falls on the other side of an
  integer, where gradients jump.
- Temporary memory is XLA's own count for the compiled program, without inputs and outputs."""

# On a CPU, in float32.
GOALS = {
    ("S1", BOTH): [Goal(1.0, torch_rivals.GRID_SAMPLE)],
    ("S2", FORWARD): [Goal(1 / 1.8, torch_rivals.GRID_SAMPLE, "1.8 times its speed")],
    ("S2", BOTH): [Goal(0.3, torch_rivals.GRID_SAMPLE)],
    ("S3", BOTH): [Goal(1.1, torch_rivals.GRID_SAMPLE)],
    ("R1", BOTH): [Goal(1.2, torch_rivals.GRID_SAMPLE)],
    ("D1", BOTH): [
        Goal(2.0, torch_rivals.CONVOLUTION),
        Goal(1 / 12, torch_rivals.DEFORMABLE, "12 times its speed"),
        Goal(40.0, measure="temporary MiB"),
    ],
    ("D2", BOTH): [
        Goal(2.0, torch_rivals.CONVOLUTION),
        Goal(1 / 9, torch_rivals.DEFORMABLE, "9 times its speed"),
        Goal(100.0, measure="temporary MiB"),
    ],
    ("A1", BOTH): [Goal(1.0, torch_rivals.GRID_SAMPLE)],
}

# On a GPU, in every precision.
GPU_GOALS = {
    (name, BOTH): [Goal(1.0, torch_rivals.DEFORMABLE, "no slower than its CUDA kernel")]
    for name in ("D1", "D2")
}

CAUSES = {("S1", BOTH): "repeated runs of this third of a millisecond lie on both sides of the goal"}


def cases(names: Sequence[str], smoke: bool, precision: Precision = "float32") -> Iterator[Case]:
    """The cases of the named workloads, in tiny sizes and without goals if `smoke`."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    of_platform = GOALS if jax.default_backend() == "cpu" else GPU_GOALS
    torch_rivals.multiply_in(precision)
    for name in names:
        workload = WORKLOADS[name]
        drawn = workload.inputs(np.random.default_rng(0), smoke)
        inputs = {key: array if key in POSITIONS else array.astype(dtype) for key, array in drawn.items()}
        output = jax.eval_shape(workload.ours, *inputs.values())
        cotangent = normal(np.random.default_rng(1), output.shape).astype(dtype)
        for mode, pulled_back in ((FORWARD, None), (BOTH, cotangent)):
            with multiplying_in(precision):
                contenders = _contenders(workload, inputs, pulled_back)
            goals = [] if smoke else of_platform.get((name, mode), [])
            least = minimum_bytes(inputs, cotangent, mode)
            yield Case(name, mode, contenders, goals, least, tolerance=TOLERANCES[precision])


def multiplying_in(precision: Precision) -> AbstractContextManager[None]:
    """What JAX compiles meanwhile multiplies in this precision. A CPU knows float32 alone."""
    on_cpu = jax.default_backend() == "cpu"
    return jax.default_matmul_precision("default" if on_cpu else MULTIPLIED[precision])


def _contenders(
    workload: Workload, inputs: dict[str, np.ndarray], cotangent: np.ndarray | None
) -> list[Contender]:
    jax_ways = {OURS: workload.ours, "obvious gather": workload.obvious}
    contenders = [
        jax_contender(way, workload.computes, function, inputs, cotangent)
        for way, function in jax_ways.items()
    ]
    natively = (FORWARD if cotangent is None else BOTH) in workload.native and jax.default_backend() == "cpu"
    if natively and inputs["image"].dtype == np.float32 and kernels().instructions is not None:
        with by_jax_alone():
            contenders.append(jax_contender(BY_JAX, workload.computes, workload.ours, inputs, cotangent))
    contenders += workload.rivals(inputs, cotangent)
    if "kernel" in inputs:
        plain = {"image": inputs["image"], "kernel": inputs["kernel"]}
        contenders.append(
            jax_contender("XLA convolution", "plain convolution", convolution, plain, cotangent)
        )
        contenders += torch_rivals.convolution(plain, cotangent)
    return contenders


def jax_contender(
    name: str,
    computes: str,
    function: Callable[..., jax.Array],
    inputs: dict[str, np.ndarray],
    cotangent: np.ndarray | None,
) -> Contender:
    """`function` under jit; given the output's gradient, also with the gradients of all inputs."""

    def forward(*arguments: jax.Array) -> dict[str, jax.Array]:
        return {"output": function(*arguments)}

    def both(output_gradient: jax.Array, *arguments: jax.Array) -> dict[str, jax.Array]:
        output, pullback = jax.vjp(function, *arguments)
        gradients = pullback(output_gradient)
        return {"output": output} | {
            f"gradient of {name}": gradient for name, gradient in zip(inputs, gradients, strict=True)
        }

    arguments = [jnp.asarray(array) for array in inputs.values()]
    if cotangent is not None:
        arguments.insert(0, jnp.asarray(cotangent))
    compiled = jax.jit(forward if cotangent is None else both).lower(*arguments).compile()
    queues = jax.default_backend() != "cpu"
    return Contender(
        name,
        computes,
        call=lambda: compiled(*arguments) if queues else jax.block_until_ready(compiled(*arguments)),
        wait=jax.block_until_ready if queues else None,
        arrays=lambda results: {name: np.asarray(array, np.float32) for name, array in results.items()},
        temp_bytes=compiled.memory_analysis().temp_size_in_bytes,
    )


def convolution(
    image: Float[Array, "b *sizes c"], kernel: Float[Array, "*ks c f"]
) -> Float[Array, "b *sizes f"]:
    """Plain convolution, SAME."""
    axes = "DHW"[-(image.ndim - 2) :]
    return lax.conv_general_dilated(
        image,
        kernel,
        window_strides=(1,) * len(axes),
        padding="SAME",
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
    )


def minimum_bytes(inputs: dict[str, np.ndarray], output: np.ndarray, mode: str) -> int:
    """Bytes that any implementation moves: every input and output once.

    Of an image larger than the output (a crop) the forward pass need not read all; its gradient is whole.
    """
    image = inputs["values" if "values" in inputs else "image"].nbytes
    others = sum(array.nbytes for array in inputs.values()) - image + output.nbytes
    forward = others + min(image, output.nbytes)
    return forward if mode == FORWARD else forward + others + image


SUITE = Suite(
    title="Kernels",
    method=METHOD,
    workloads={name: workload.what for name, workload in WORKLOADS.items()},
    cases=cases,
    causes=CAUSES,
)
