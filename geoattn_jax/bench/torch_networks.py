"""The networks of Shan & Atanasov 2017 in PyTorch; imports torch, so import it only where torch is installed.

Modules have the names that they have in `geoattn_jax.models`: by these `parameters` pairs them with arrays.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from flax import traverse_util
from torch import nn
from torch.nn import functional

from geoattn_jax.bench.torch_rivals import OIHW, Layout

UNCHANGED = Layout(lambda array: array, lambda array: array)
TRANSPOSED = Layout(np.transpose, np.transpose)


class FlatLinear(nn.Linear):
    """A dense layer on a flattened feature map: (channel, y, x) in PyTorch, (y, x, channel) here."""

    def __init__(self, channels: int, side: int, features: int):
        super().__init__(channels * side**2, features)
        self.layout = Layout(
            lambda kernel: (
                kernel.reshape(side, side, channels, features).transpose(3, 2, 0, 1).reshape(features, -1)
            ),
            lambda weight: (
                weight.reshape(features, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, features)
            ),
        )


class LeNet(nn.Module):
    def __init__(self, frame_size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5, padding="same")
        self.conv2 = nn.Conv2d(20, 50, 5, padding="same")
        self.fc1 = FlatLinear(50, frame_size // 4, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(images)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))


class STNLeNet(nn.Module):
    def __init__(self, frame_size: int):
        super().__init__()
        self.output_size = frame_size // 2
        self.stn = SpatialTransformer(frame_size)
        self.conv1 = nn.Conv2d(1, 20, 5, padding="same")
        self.conv2 = nn.Conv2d(20, 50, 5, padding="same")
        self.fc1 = FlatLinear(50, self.output_size, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = len(images), 1, self.output_size, self.output_size
        grid = functional.affine_grid(self.stn(images), size, align_corners=False)
        x = functional.grid_sample(images, grid, align_corners=False)
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))


class SpatialTransformer(nn.Module):
    """Where to look: theta."""

    def __init__(self, frame_size: int):
        super().__init__()
        self.localizer = Localizer(frame_size)
        self.theta = nn.Linear(50, 6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.theta(self.localizer(images)).reshape(-1, 2, 3)


class Localizer(nn.Module):
    def __init__(self, frame_size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 20, 5)
        self.fc1 = FlatLinear(20, (frame_size // 2 - 4) // 2 - 4, 50)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.conv1(functional.max_pool2d(images, 2))
        x = self.conv2(functional.max_pool2d(x, 2))
        return functional.relu(self.fc1(x.flatten(1)))


class DCNLeNet(nn.Module):
    def __init__(self, frame_size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5, padding="same")
        self.offset1 = ConvOffset2D(20)
        self.conv2 = nn.Conv2d(20, 50, 5, padding="same")
        self.offset2 = ConvOffset2D(50)
        self.fc1 = FlatLinear(50, frame_size, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.offset1(functional.relu(self.conv1(images)))
        x = self.offset2(functional.relu(self.conv2(x)))
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))


class ConvOffset2D(nn.Module):
    """Every channel as an image of its own for `grid_sample`."""

    def __init__(self, channels: int):
        super().__init__()
        self.offset = nn.Conv2d(channels, 2 * channels, 3, padding="same", bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = images.shape
        dy, dx = self.offset(images).reshape(batch * channels, 2, height, width).unbind(1)
        y = torch.arange(height, dtype=images.dtype)[:, None] + dy
        x = torch.arange(width, dtype=images.dtype) + dx
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        planes = images.reshape(batch * channels, 1, height, width)
        moved = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
        return moved.reshape(images.shape)


class VideoHead(nn.Module):
    """The part of `VideoClassifier` after the CNN."""

    def __init__(self, features: int, units: int, frames: int, classes: int):
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()  # a second bias beside the first
        self.fc = nn.Linear(frames * units, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(features)
        return self.fc(hidden.flatten(1))


CNNS = {"lenet": LeNet, "stn": STNLeNet, "dcn": DCNLeNet}


def load(model: nn.Module, params: Any) -> None:
    """Gives `model` the parameters of the flax module of the same structure."""
    arrays = traverse_util.flatten_dict(params, sep="/")
    with torch.no_grad():
        for path, parameter, layout in parameters(model):
            parameter.copy_(torch.from_numpy(layout.values(np.array(arrays[path]))))


def parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Layout]]:
    """Every trained parameter with its path in flax, such as "conv1/kernel", and how PyTorch holds it."""
    for name, module in model.named_modules():
        path = name.replace(".", "/")
        match module:
            case nn.LSTM():
                yield f"{path}/input/kernel", module.weight_ih_l0, TRANSPOSED
                yield f"{path}/input/bias", module.bias_ih_l0, UNCHANGED
                yield f"{path}/recurrent/kernel", module.weight_hh_l0, TRANSPOSED
            case nn.Conv2d() | nn.Linear():
                convolution = isinstance(module, nn.Conv2d)
                layout = OIHW if convolution else getattr(module, "layout", TRANSPOSED)
                yield f"{path}/kernel", module.weight, layout
                if module.bias is not None:
                    yield f"{path}/bias", module.bias, UNCHANGED
