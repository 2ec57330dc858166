"""The kernels against plain convolution, their own obvious form, and PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from geoattn_jax.bench import torch_rivals
from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Precision, Suite
from geoattn_jax.ops import reference
from geoattn_jax.ops.deform_attention import LevelShapes, deform_attention
from geoattn_jax.ops.deform_conv import deform_conv2d, deform_conv3d
from geoattn_jax.ops.grid import affine_grid, crop_theta
from geoattn_jax.ops.sample import bilinear_sample, offset_resample, sample

FORWARD, BOTH = "forward", "forward+backward"
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

- `geoattn_jax` is this package's operation under `jax.jit`; *obvious gather* is
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
    ("S1", BOTH): [Goal(1.5, torch_rivals.GRID_SAMPLE)],
    ("S2", FORWARD): [Goal(1 / 1.8, torch_rivals.GRID_SAMPLE, "1.8 times its speed")],
    ("S2", BOTH): [Goal(1 / 1.4, torch_rivals.GRID_SAMPLE, "1.4 times its speed")],
    ("S3", BOTH): [Goal(1.5, torch_rivals.GRID_SAMPLE)],
    ("R1", BOTH): [Goal(1.5, torch_rivals.GRID_SAMPLE)],
    ("D1", BOTH): [
        Goal(4.5, torch_rivals.CONVOLUTION),
        Goal(1 / 12, torch_rivals.DEFORMABLE, "12 times its speed"),
        Goal(40.0, measure="temporary MiB"),
    ],
    ("D2", BOTH): [
        Goal(4.5, torch_rivals.CONVOLUTION),
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

_SCATTER = "adding to the image's gradient is a scatter, which XLA does on one thread, one number at a time"
_LOOPS = (
    "PyTorch does all of it in one vectorized loop over every core; XLA on a CPU runs a loop for each step, "
    f"through memory, and {_SCATTER}"
)
CAUSES = {
    ("S1", BOTH): f"the arrays are so small that starting XLA's loops counts; besides, {_LOOPS}",
    ("S3", BOTH): _LOOPS,
    ("R1", BOTH): f"every number has a position, weights and a scatter of its own: {_LOOPS}",
    ("D1", BOTH): f"every tap is sampled twice, forward and backward; and {_SCATTER}",
    ("D2", BOTH): f"every one of 25 taps is sampled twice, forward and backward; and {_SCATTER}",
}


@dataclass(frozen=True)
class Workload:
    """One row of inputs and the operation on them.

    Attributes:
      what: what it stands for.
      inputs: draws the inputs by name, in the operation's order; given True, in a tiny size.
      computes: the operation's name.
      ours, obvious: this package's fast and plain implementations.
      rivals: PyTorch's implementations of it.
    """

    what: str
    inputs: Callable[[np.random.Generator, bool], dict[str, np.ndarray]]
    computes: str
    ours: Callable[..., jax.Array]
    obvious: Callable[..., jax.Array]
    rivals: Callable[..., list[Contender]]


def _sampling(what: str, shape: tuple[int, ...], output_hw: tuple[int, int], theta: Callable) -> Workload:
    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        batch, height, width, channels = (2, 9, 11, 3) if tiny else shape
        thetas = jnp.asarray(theta(random, batch, (height, width)), jnp.float32)
        grid = affine_grid(thetas, input_hw=(height, width), output_hw=(5, 4) if tiny else output_hw)
        return {
            "image": _normal(random, (batch, height, width, channels)),
            "positions": _between_pixels(np.asarray(grid)),
        }

    return Workload(
        what, inputs, "bilinear sampling", bilinear_sample, reference.bilinear_sample, torch_rivals.sampling
    )


def _bicubic(what: str, shape: tuple[int, ...]) -> Workload:
    rotated = _sampling(what, shape, shape[1:3], partial(_rotations, zoom=1.0))
    options = {"method": "bicubic", "padding_mode": "reflection"}
    return replace(
        rotated,
        computes="bicubic sampling",
        ours=partial(sample, **options),
        obvious=partial(reference.sample, **options),
        rivals=partial(torch_rivals.sampling, **options),
    )


def _trilinear(what: str, shape: tuple[int, ...]) -> Workload:
    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        batch, *sizes, channels = (2, 4, 5, 6, 3) if tiny else shape
        moved = np.moveaxis(np.indices(sizes), 0, -1) + _normal(random, (batch, *sizes, 3))
        return {
            "image": _normal(random, (batch, *sizes, channels)),
            "positions": _between_pixels(moved.astype(np.float32)),
        }

    return Workload(what, inputs, "trilinear sampling", sample, reference.sample, torch_rivals.sampling)


def _rotations(
    random: np.random.Generator, batch: int, input_hw: tuple[int, int], *, zoom: float
) -> np.ndarray:
    """Rotations by up to 30 degrees, scales within 20% of `zoom`, shifts of up to a tenth of the image."""
    angle = random.uniform(-np.pi / 6, np.pi / 6, batch)
    scale = zoom * random.uniform(0.8, 1.2, batch)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    shift_x, shift_y = random.uniform(-0.2, 0.2, (2, batch))
    return np.stack([cosine, -sine, shift_x, sine, cosine, shift_y], axis=-1).reshape(batch, 2, 3)


def _windows(random: np.random.Generator, batch: int, input_hw: tuple[int, int]) -> np.ndarray:
    """Windows of a quarter of the image's height and width anywhere inside it: SSTN's detail level."""
    window = np.array(input_hw) / 4
    top_left = random.uniform(0, np.array(input_hw) - window, (batch, 2))
    return np.asarray(crop_theta(jnp.asarray(top_left, jnp.float32), tuple(window), input_hw=input_hw))


def _deformable(what: str, shape: tuple[int, ...], size: int, features: int) -> Workload:
    axes = len(shape) - 2

    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        batch, *sizes, channels = (2, *(4, 7, 6)[-axes:], 3) if tiny else shape
        side = 3 if tiny else size
        return {
            "image": _normal(random, (batch, *sizes, channels)),
            "offsets": _between_pixels(_normal(random, (batch, *sizes, 1, side**axes, axes))),
            "kernel": _normal(random, (*[side] * axes, channels, features)) / side,
        }

    in_volumes = axes == 3
    return Workload(
        what,
        inputs,
        "deformable convolution",
        deform_conv3d if in_volumes else deform_conv2d,
        reference.deform_conv3d if in_volumes else reference.deform_conv2d,
        torch_rivals.none if in_volumes else torch_rivals.deformable,
    )


def _resampling(what: str, shape: tuple[int, ...]) -> Workload:
    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        size = (2, 7, 6, 3) if tiny else shape
        return {"image": _normal(random, size), "offsets": _between_pixels(_normal(random, (*size, 2)))}

    return Workload(
        what,
        inputs,
        "resampling by offsets per channel",
        offset_resample,
        reference.offset_resample,
        torch_rivals.resampling,
    )


# Of an 800x1066 image at strides of 8, 16, 32 and 64 pixels.
DETR_LEVELS = ((100, 134), (50, 67), (25, 34), (13, 17))
TINY_LEVELS = ((5, 7), (3, 4))


def _attention(what: str) -> Workload:
    """Every pixel of every level asks, and looks around its own place in all of them."""

    def inputs(random: np.random.Generator, tiny: bool) -> dict[str, np.ndarray]:
        levels = TINY_LEVELS if tiny else DETR_LEVELS
        heads, points, channels = (2, 3, 5) if tiny else (8, 4, 32)
        grids = [np.stack(np.meshgrid(*map(_centres, hw), indexing="ij"), axis=-1) for hw in levels]
        own = np.concatenate([grid.reshape(-1, 2) for grid in grids])
        shape = (1, len(own), heads, len(levels), points)
        sizes = np.array(levels, np.float32)[:, None]
        positions = own[:, None, None, None] * sizes - 0.5 + 2 * _normal(random, (*shape, 2))
        weights = np.exp(_normal(random, shape))
        return {
            "values": _normal(random, (1, len(own), heads, channels)),
            "locations": ((_between_pixels(positions) + 0.5) / sizes).astype(np.float32),
            "weights": weights / weights.sum(axis=(-2, -1), keepdims=True),
        }

    def attend(values: jax.Array, locations: jax.Array, weights: jax.Array) -> jax.Array:
        return deform_attention(values, locations, weights, level_shapes=_levels_of(values))

    def attend_plainly(values: jax.Array, locations: jax.Array, weights: jax.Array) -> jax.Array:
        return reference.deform_attention(values, locations, weights, level_shapes=_levels_of(values))

    def rivals(inputs: dict[str, np.ndarray], cotangent: np.ndarray | None) -> list[Contender]:
        return torch_rivals.attention(inputs, cotangent, level_shapes=_levels_of(inputs["values"]))

    return Workload(what, inputs, "deformable attention", attend, attend_plainly, rivals)


def _centres(size: int) -> np.ndarray:
    return (np.arange(size, dtype=np.float32) + 0.5) / size


def _levels_of(values: jax.Array | np.ndarray) -> LevelShapes:
    (levels,) = (
        levels
        for levels in (DETR_LEVELS, TINY_LEVELS)
        if sum(height * width for height, width in levels) == values.shape[1]
    )
    return levels


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.standard_normal(shape, dtype=np.float32)


def _between_pixels(positions: np.ndarray) -> np.ndarray:
    """The nearest odd multiples of 1/64."""
    return (np.floor(positions * 32) + 0.5) / np.float32(32)


WORKLOADS = {
    "S1": _sampling(
        "`bilinear_sample` of (50, 64, 64, 1) to 32x32, rotated crops: a transformer on Moving MNIST",
        (50, 64, 64, 1), (32, 32), lambda *arguments: _rotations(*arguments, zoom=0.6),
    ),
    "S2": _sampling(
        "`bilinear_sample` of (16, 112, 112, 64) to the same size, small rotations: one on features",
        (16, 112, 112, 64), (112, 112), lambda *arguments: _rotations(*arguments, zoom=1.0),
    ),
    "S3": _sampling(
        "`bilinear_sample` of (8, 896, 896, 3) to 224x224, a window of that size: attention on a video frame",
        (8, 896, 896, 3), (224, 224), _windows,
    ),
    "S4": _bicubic(
        "`sample` of (16, 112, 112, 64) to the same size, bicubic with reflection, small rotations",
        (16, 112, 112, 64),
    ),
    "S5": _trilinear(
        "`sample` of (4, 16, 56, 56, 32) to the same size, trilinear, moved by 1 px: clips un-deformed",
        (4, 16, 56, 56, 32),
    ),
    "D1": _deformable(
        "`deform_conv2d` 3x3, (8, 56, 56, 64) to 64 channels, SAME, one offset group, offsets of 1 px",
        (8, 56, 56, 64), size=3, features=64,
    ),
    "D2": _deformable(
        "`deform_conv2d` 5x5, (32, 64, 64, 20) to 50 channels, SAME, one offset group, offsets of 1 px",
        (32, 64, 64, 20), size=5, features=50,
    ),
    "D3": _deformable(
        "`deform_conv3d` 3x3x3, (2, 8, 28, 28, 32) to 32 channels, SAME, one offset group, offsets of 1 px",
        (2, 8, 28, 28, 32), size=3, features=32,
    ),
    "R1": _resampling("`offset_resample` of (32, 64, 64, 20), offsets of 1 px", (32, 64, 64, 20)),
    "A1": _attention(
        "`deform_attention` of the four levels of an 800x1066 image, as many queries as pixels, 8 heads of "
        "32 channels, 4 points: the encoder of Deformable DETR",
    ),
}  # fmt: skip


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
        cotangent = _normal(np.random.default_rng(1), output.shape).astype(dtype)
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
