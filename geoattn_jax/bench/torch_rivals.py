"""The same operations in PyTorch and torchvision; no rivals where those are missing or lack JAX's device.

Arrays come in this package's layout. Each contender holds them in PyTorch's own (NCHW, contiguous; normalized
(x, y) positions) and gives results back in this package's. Where some are bfloat16, PyTorch computes under
its autocast: products in bfloat16, but sampling in float32, as neither `grid_sample` takes an image and
positions of different dtypes nor torchvision's kernel any bfloat16.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench.suite import Contender, Precision

GRID_SAMPLE = "torch grid_sample"
CONVOLUTION, CONVOLUTION_3D = "torch conv2d", "torch conv3d"
DEFORMABLE = "torchvision deform_conv2d"


@dataclass(frozen=True)
class Layout:
    """How PyTorch holds an array: its values there, and a gradient with respect to them here."""

    values: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]


# Of volumes, too.
NCHW = Layout(lambda nhwc: np.moveaxis(nhwc, -1, 1), lambda nchw: np.moveaxis(nchw, 1, -1))
OIHW = Layout(
    lambda hwio: np.moveaxis(hwio, (-1, -2), (0, 1)), lambda oihw: np.moveaxis(oihw, (0, 1), (-1, -2))
)


def none(*_: Any) -> list[Contender]:
    """PyTorch and torchvision have no such operation."""
    return []


def sampling(
    inputs: dict[str, np.ndarray],
    cotangent: np.ndarray | None,
    *,
    method: str = "bilinear",
    padding_mode: str = "zeros",
) -> list[Contender]:
    """`grid_sample` of `image` at `positions`."""
    sizes = inputs["image"].shape[1:-1]
    layouts = {"image": NCHW, "positions": normalized(sizes)}
    computes = f"{method if len(sizes) == 2 else 'trilinear'} sampling"
    return _grid_sample(computes, inputs, layouts, NCHW, cotangent, mode=method, padding_mode=padding_mode)


def resampling(inputs: dict[str, np.ndarray], cotangent: np.ndarray | None) -> list[Contender]:
    """`grid_sample` with every channel as an image of its own, at positions made of `offsets` beforehand."""
    batch, height, width, channels = inputs["image"].shape
    own_image = Layout(
        lambda nhwc: NCHW.values(nhwc).reshape(-1, 1, height, width),
        lambda images: NCHW.gradient(images.reshape(batch, channels, height, width)),
    )
    to_grid = normalized((height, width))
    pixels = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)[:, :, None]
    own_grid = Layout(
        lambda offsets: to_grid.values(
            np.moveaxis(offsets + pixels, 3, 1).reshape(-1, height, width, 2).astype(np.float32)
        ),
        lambda grids: np.moveaxis(to_grid.gradient(grids).reshape(batch, channels, height, width, 2), 1, 3),
    )
    layouts = {"image": own_image, "offsets": own_grid}
    computes = "resampling by offsets per channel"
    return _grid_sample(computes, inputs, layouts, own_image, cotangent, padding_mode="border")


def attention(
    inputs: dict[str, np.ndarray], cotangent: np.ndarray | None, *, level_shapes: Sequence[tuple[int, int]]
) -> list[Contender]:
    """`grid_sample` of each level of `values` at `locations`, then the sum weighed by `weights`."""
    if not available("torch"):
        return []
    import torch

    ends = np.cumsum([height * width for height, width in level_shapes]).tolist()

    def function(values: torch.Tensor, grid: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        (b, heads, c, _), (queries, points) = values.shape, weights.shape[3:]
        sums = []
        for level, ((height, width), end) in enumerate(zip(level_shapes, ends, strict=True)):
            image = values[..., end - height * width : end].reshape(b * heads, c, height, width)
            places = grid[:, :, level].reshape(b * heads, queries, points, 2)
            samples = torch.nn.functional.grid_sample(image, places, align_corners=False)
            weight = weights[:, :, level].reshape(b * heads, 1, queries, points)
            sums.append((samples * weight).sum(-1))
        return torch.stack(sums).sum(0).reshape(b, heads * c, queries)

    to_grid = normalized((1, 1))
    layouts = {
        "values": Layout(lambda bphc: bphc.transpose(0, 2, 3, 1), lambda bhcp: bhcp.transpose(0, 3, 1, 2)),
        "locations": Layout(
            lambda locations: to_grid.values(locations - 0.5).transpose(0, 2, 3, 1, 4, 5),
            lambda grids: to_grid.gradient(grids).transpose(0, 3, 1, 2, 4, 5),
        ),
        "weights": Layout(
            lambda weights: weights.transpose(0, 2, 3, 1, 4), lambda weights: weights.transpose(0, 3, 1, 2, 4)
        ),
    }
    channels_first = Layout(lambda bqc: bqc.transpose(0, 2, 1), lambda bcq: bcq.transpose(0, 2, 1))
    return [
        _contender(GRID_SAMPLE, "deformable attention", function, inputs, layouts, channels_first, cotangent)
    ]


def normalized(sizes: tuple[int, ...]) -> Layout:
    """([z,] y, x) in pixels as (x, y[, z]) in [-1, 1], outer edge to outer edge (`align_corners=False`)."""
    size_xy = np.array(sizes[::-1])
    return Layout(
        lambda positions: ((2.0 * positions[..., ::-1] + 1) / size_xy - 1).astype(np.float32),
        lambda gradient: (gradient * (2 / size_xy))[..., ::-1],
    )


def _grid_sample(
    computes: str,
    inputs: dict[str, np.ndarray],
    layouts: dict[str, Layout],
    output: Layout,
    cotangent: np.ndarray | None,
    **options: str,
) -> list[Contender]:
    if not available("torch"):
        return []
    import torch

    def function(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.grid_sample(image, grid, align_corners=False, **options)

    return [_contender(GRID_SAMPLE, computes, function, inputs, layouts, output, cotangent)]


def convolution(inputs: dict[str, np.ndarray], cotangent: np.ndarray | None) -> list[Contender]:
    """`conv2d` of `image` with `kernel`, or `conv3d` of a volume, SAME."""
    if not available("torch"):
        return []
    import torch

    name, convolve = {
        4: (CONVOLUTION, torch.nn.functional.conv2d),
        5: (CONVOLUTION_3D, torch.nn.functional.conv3d),
    }[inputs["image"].ndim]

    def function(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return convolve(image, kernel, padding="same")

    layouts = {"image": NCHW, "kernel": OIHW}
    return [_contender(name, "plain convolution", function, inputs, layouts, NCHW, cotangent)]


def deformable(inputs: dict[str, np.ndarray], cotangent: np.ndarray | None) -> list[Contender]:
    """torchvision's `deform_conv2d` of `image` with `offsets` and `kernel`, SAME for an odd kernel."""
    if not available("torchvision"):
        return []
    import torch
    import torchvision

    size = inputs["kernel"].shape[0]

    def function(image: torch.Tensor, offsets: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return torchvision.ops.deform_conv2d(image, offsets, kernel, padding=(size - 1) // 2)

    shape = inputs["offsets"].shape
    channels_of_offsets = Layout(
        lambda offsets: NCHW.values(offsets.reshape(*shape[:3], -1)),
        lambda nchw: NCHW.gradient(nchw).reshape(shape),
    )
    layouts = {"image": NCHW, "offsets": channels_of_offsets, "kernel": OIHW}
    return [_contender(DEFORMABLE, "deformable convolution", function, inputs, layouts, NCHW, cotangent)]


def available(package: str) -> bool:
    """Whether `package` can be imported and, where JAX has an accelerator, torch has it too."""
    return why_missing(package) is None


def why_missing(package: str) -> str | None:
    """Why there are no rivals of `package`, torch or torchvision; None where there are."""
    try:
        torch = importlib.import_module("torch")
        importlib.import_module(package)
    except (ImportError, OSError, RuntimeError) as error:  # torchvision's for another torch raises the last
        return f"{package} cannot be imported ({error})"
    if jax.default_backend() == "cpu" or (jax.default_backend() == "gpu" and torch.cuda.is_available()):
        return None
    return f"torch has no such device as JAX's, {jax.default_backend()}"


def multiply_in(precision: Precision) -> None:
    """Lets PyTorch on a GPU round the factors of float32 products to TF32, or not, from now on."""
    if not available("torch"):
        return
    import torch

    # By the older of PyTorch's two interfaces: after the newer one reading the older raises, as PyTorch does.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def _contender(
    name: str,
    computes: str,
    function: Callable[..., Any],
    inputs: dict[str, np.ndarray],
    layouts: dict[str, Layout],
    output: Layout,
    cotangent: np.ndarray | None,
) -> Contender:
    """`function` in eager PyTorch on JAX's kind of device; with gradients if there is a cotangent."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    on_gpu = jax.default_backend() == "gpu"
    device = "cuda" if on_gpu else "cpu"
    in_bfloat16 = any(array.dtype == jnp.bfloat16 for array in inputs.values())

    def tensor(layout: Layout, array: np.ndarray) -> torch.Tensor:
        values = np.ascontiguousarray(layout.values(array))
        if values.dtype == jnp.bfloat16:  # which torch does not read from NumPy
            return torch.from_numpy(values.astype(np.float32)).to(device, torch.bfloat16)
        return torch.from_numpy(values).to(device)

    tensors = [tensor(layouts[key], array) for key, array in inputs.items()]
    names = ["output"]
    back = [output.gradient]
    if cotangent is not None:
        output_gradient = tensor(output, cotangent)
        names += [f"gradient of {key}" for key in inputs]
        back += [layouts[key].gradient for key in inputs]
        for leaf in tensors:
            leaf.requires_grad_()

    def call() -> Sequence[torch.Tensor]:
        autocast = torch.autocast(device, torch.bfloat16, enabled=in_bfloat16)
        with torch.set_grad_enabled(cotangent is not None), autocast:
            result = function(*tensors)
        gradients = ()
        if cotangent is not None:
            gradients = torch.autograd.grad(result, tensors, output_gradient.to(result.dtype))
        return result, *gradients

    def arrays(results: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        return {
            name: convert(result.detach().float().cpu().numpy())
            for name, convert, result in zip(names, back, results, strict=True)
        }

    wait = (lambda _: torch.cuda.synchronize()) if on_gpu else None
    return Contender(name, computes, call, arrays, wait=wait)
