"""Published weights for the VGG networks, read from the files in which people have them."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.io
from jaxtyping import Array, Float, PRNGKeyArray

from geoattn_jax.models.vgg import VGG, VGG16

IMAGE_SIDE = 224  # pixels: of the images on which all of these were trained
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in [0, 1], as torchvision normalizes
IMAGENET_STD = (0.229, 0.224, 0.225)

_MATCONVNET_FILES = "https://www.vlfeat.org/matconvnet/pretrained"
_FULLY_CONNECTED = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}  # of torchvision


class Pretrained(NamedTuple):
    """A network's weights, and how its images were prepared.

    Attributes:
      params: for `model.apply({"params": params}, ...)`, or as a part of a larger model's.
      mean: subtracted from RGB images in [0, 1]: three numbers, or an average image of the images' size.
      std: then divided by.
    """

    params: dict[str, Any]
    mean: Float[Array, "*hw 3"]
    std: Float[Array, "3"]

    def normalize(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """What the network is to be given.

        Args:
          images: RGB in [0, 1].

        Returns: (images - mean) / std, in images' dtype.
        Raises: ValueError if there is an average image and it has another size.
        """
        if self.mean.ndim == 3 and self.mean.shape != images.shape[1:]:
            raise ValueError(
                f"normalize: images must each have the average image's shape {self.mean.shape}, "
                f"got shape {images.shape}; resize them"
            )
        return (images - self.mean.astype(images.dtype)) / self.std.astype(images.dtype)

    def params_for(self, mean: float, std: float) -> dict[str, Any]:
        """Parameters for images that are normalized in another way, as (images - mean) / std.

        The first convolution does what is missing. An average image counts with its average colour. Where
        the network pads its images, zeros then stand for `mean`, not for the pretrained network's own.

        Args:
          mean, std: of RGB images in [0, 1].
        """
        name = _first_convolution(self.params)
        kernel, bias = self.params[name]["kernel"], self.params[name]["bias"]
        colour = self.mean.reshape(-1, 3).mean(axis=0)
        unit, zero = std / self.std, (mean - colour) / self.std  # of the other images, in this network's
        bias = bias + jnp.einsum("hwio,i->o", kernel, zero.astype(kernel.dtype))
        kernel = kernel * unit[:, None].astype(kernel.dtype)
        return {**self.params, name: {"kernel": kernel, "bias": bias}}


def read_matconvnet(path: str | Path, model: VGG, key: PRNGKeyArray) -> Pretrained:
    """Reads a network of MatConvNet: imagenet-vgg-f.mat, imagenet-vgg-m.mat, imagenet-vgg-verydeep-16.mat.

    Layers are found by their names, their weights under `weights` (or `filters` and `biases`, as in older
    files), the average image under `meta.normalization` (or `normalization`). The images that the
    network is given are RGB in 0 ... 255, less the average image.

    Args:
      path: the file, in MATLAB's format 7 or older.
      model: the network that the file is of. fc8 is read if `model.num_classes` is the file's number of
        classes, otherwise it is the model's own fresh one; the rest is read for 224 x 224 x 3 images.
      key: random key for a fresh fc8.

    Returns: parameters in `model.param_dtype`, and the average image.
    Raises: FileNotFoundError if the file is not there; ValueError if it is damaged or of another network,
      with the layer, what was found and what was expected.
    """
    file = _File("read_matconvnet", Path(path))
    file.check_exists()
    layers, average = _load_matconvnet(file)
    file.check_layers(layers, [*(row.name for row in model.convs), *_FULLY_CONNECTED])
    for row in model.convs:
        file.check_geometry(row.name, "stride", layers[row.name], row.stride)
        file.check_geometry(row.name, "pad", layers[row.name], row.pad)
    weights = {}
    for name, shape in _kernel_shapes(model).items():
        kernel, bias = file.filters_and_biases(name, layers[name])
        if name == "fc8":
            shape = (*shape[:-1], np.size(bias))
        # loadmat has dropped the axes of length 1.
        kernel = file.check_array(f"{name} filters", kernel, tuple(n for n in shape if n != 1))
        bias = file.check_array(f"{name} biases", np.atleast_1d(bias), shape[-1:])
        weights[name] = kernel.reshape(shape), bias
    params = _params(model, key, weights)
    return Pretrained(params, mean=jnp.asarray(average / 255), std=jnp.full(3, 1 / 255, jnp.float32))


def read_torchvision(path: str | Path, model: VGG16, key: PRNGKeyArray) -> Pretrained:
    """Reads the weights of torchvision's `vgg16`: a state dict that torch saved, or the same in an .npz file.

    Only the former needs torch. To do without it, convert the file once, where torch is:

      state = torch.load("vgg16.pth")
      numpy.savez("vgg16.npz", **{name: tensor.detach().numpy() for name, tensor in state.items()})

    The images that the network is given are RGB in [0, 1], less a mean, divided by a standard deviation.

    Args:
      path: the file; one whose name ends in .npz is numpy's, every other torch's.
      model: the network. fc8 is read if `model.num_classes` is the file's number of classes, otherwise it is
        the model's own fresh one; the rest is read for 224 x 224 x 3 images.
      key: random key for a fresh fc8.

    Returns: parameters in `model.param_dtype`, and the mean and standard deviation.
    Raises: FileNotFoundError if the file is not there; ImportError if it takes torch and that is missing;
      ValueError if it is damaged or of another network, with the layer, what was found and what was expected.
    """
    file = _File("read_torchvision", Path(path))
    file.check_exists()
    state = _load_npz(file) if file.path.suffix == ".npz" else _load_torch(file)
    prefixes = _torchvision_names(model)
    file.check_layers(state, [f"{p}.{kind}" for p in prefixes.values() for kind in ("weight", "bias")])
    weights = {}
    for name, shape in _kernel_shapes(model).items():
        weight, bias = state[f"{prefixes[name]}.weight"], state[f"{prefixes[name]}.bias"]
        if name == "fc8":
            shape = (*shape[:-1], np.size(bias))
        height, width, inputs, outputs = shape
        oihw = (outputs, inputs, height, width)
        # The classifier sees the last feature map flattened channel by channel.
        as_stored = (outputs, inputs * height * width) if name in _FULLY_CONNECTED else oihw
        weight = file.check_array(f"{name} {prefixes[name]}.weight", weight, as_stored)
        bias = file.check_array(f"{name} {prefixes[name]}.bias", bias, (outputs,))
        weights[name] = weight.reshape(oihw).transpose(2, 3, 1, 0), bias
    params = _params(model, key, weights)
    return Pretrained(params, mean=jnp.asarray(IMAGENET_MEAN), std=jnp.asarray(IMAGENET_STD))


def flow_params(params: dict[str, Any], channels: int) -> dict[str, Any]:
    """Parameters of a network of RGB images as the start of one of stacked flow (Wang et al. 2015).

    The first convolution's kernel is averaged over its input channels, and every input channel of the flow
    gets that average; all else stays.

    Args:
      params: parameters of a `VGG`.
      channels: input channels of the new network, 2L for L flow fields.

    Returns: the new parameters.
    Raises: ValueError if `channels` is not positive.
    """
    if channels < 1:
        raise ValueError(
            f"flow_params: channels must be positive, got {channels}; it is twice the number of flow fields"
        )
    first = _first_convolution(params)
    mean = params[first]["kernel"].mean(axis=2, keepdims=True)
    return {**params, first: {**params[first], "kernel": jnp.repeat(mean, channels, axis=2)}}


def _first_convolution(params: Mapping[str, Any]) -> str:
    return "conv1" if "conv1" in params else "conv1_1"


class _File(NamedTuple):
    """The file that is being read, for what is to be said about it."""

    reader: str
    path: Path

    def error(self, why: str) -> ValueError:
        return ValueError(f"{self.reader}: {self.path} cannot be used: {why}")

    def check_exists(self) -> None:
        if not self.path.is_file():
            raise FileNotFoundError(
                f"{self.reader}: path {str(self.path)!r} is not a file; name the file of weights"
            )

    def check_layers(self, found: Iterable[str], expected: Iterable[str]) -> None:
        missing = [name for name in expected if name not in set(found)]
        foreign = [name for name in found if name not in set(expected)]
        if missing or foreign:
            raise self.error(
                f"it is of another network: missing are {missing}, found but not expected {foreign}"
            )

    def filters_and_biases(self, layer: str, fields: Mapping[str, Any]) -> tuple[Any, Any]:
        """The two arrays of one of MatConvNet's layers."""
        if "weights" in fields and np.shape(fields["weights"]) == (2,):
            filters, biases = fields["weights"]
            return filters, biases
        if {"filters", "biases"} <= fields.keys():
            return fields["filters"], fields["biases"]
        raise self.error(
            f"layer {layer} must have weights (filters and biases), or fields filters and biases, "
            f"found fields {sorted(fields)}"
        )

    def check_geometry(self, layer: str, field: str, fields: Mapping[str, Any], expected: int) -> None:
        """A stride or padding, one number for all sides or one for each: same shapes, different network."""
        found = fields.get(field, expected)
        if np.any(np.asarray(found) != expected):
            raise self.error(
                f"it is of another network: layer {layer} has {field} {np.asarray(found).tolist()}, "
                f"expected {expected}"
            )

    def check_array(self, entry: str, found: Any, expected: tuple[int, ...]) -> np.ndarray:
        array = np.asarray(found)
        if array.shape != expected:
            raise self.error(f"layer {entry} must have shape {expected}, found {array.shape}")
        if not np.issubdtype(array.dtype, np.floating):
            raise self.error(f"layer {entry} must be floating point, found {array.dtype}")
        if not np.isfinite(array).all():
            raise self.error(f"layer {entry} must be finite, found NaN or infinity; the file is damaged")
        return array


def _load_matconvnet(file: _File) -> tuple[dict[str, dict[str, Any]], Float[np.ndarray, "*hw 3"]]:
    """The layers that have weights, by their names, and the average image."""
    variables = ["layers", "meta", "normalization"]
    try:
        content = scipy.io.loadmat(file.path, variable_names=variables, simplify_cells=True)
    except Exception as error:  # a damaged file fails in any of a dozen ways
        raise file.error(
            f"it is damaged or not of MATLAB's format 7 ({type(error).__name__}: {error}); "
            f"download it again from {_MATCONVNET_FILES}"
        ) from error
    try:
        layers = {
            layer["name"]: layer
            for layer in content["layers"]
            if "filters" in layer or np.size(layer.get("weights", []))
        }
        average = np.asarray(content.get("meta", content)["normalization"]["averageImage"], np.float32)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise file.error(
            "it is no network of MatConvNet: it must hold the structs layers and meta.normalization (or "
            f"normalization), found {sorted(name for name in content if not name.startswith('__'))}"
        ) from error
    if average.ndim not in (1, 3) or average.shape[-1] != 3:
        raise file.error(f"averageImage must have shape (height, width, 3) or (3,), found {average.shape}")
    return layers, average


def _load_npz(file: _File) -> dict[str, np.ndarray]:
    try:
        with np.load(file.path, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # a damaged file fails in any of a dozen ways
        raise file.error(f"it is damaged or no .npz file ({type(error).__name__}: {error})") from error


def _load_torch(file: _File) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{file.reader}: {file.path} takes torch to be read: pip install torch, or convert it to an .npz "
            f"file where torch is (the docstring of {file.reader} says how)"
        ) from error
    try:
        state = torch.load(file.path, map_location="cpu", weights_only=True)
        # Old files hold parameters instead of plain tensors.
        return {name: tensor.detach().numpy() for name, tensor in state.items()}
    except Exception as error:  # a damaged file fails in any of a dozen ways
        raise file.error(f"it is damaged or no state dict ({type(error).__name__}: {error})") from error


def _torchvision_names(model: VGG16) -> dict[str, str]:
    """Each layer's name in torchvision, which counts convolutions, rectifiers and poolings together."""
    names, count = {}, 0
    for row in model.convs:
        names[row.name] = f"features.{count}"
        count += 2 if row.pool is None else 3
    return names | _FULLY_CONNECTED


def _kernel_shapes(model: VGG) -> dict[str, tuple[int, int, int, int]]:
    """Every layer's kernel as a convolution's, HWIO; fc8's number of outputs is up to the file."""
    shapes, channels = {}, 3
    for row in model.convs:
        shapes[row.name] = (row.kernel, row.kernel, channels, row.features)
        channels = row.features
    feature_map, _ = jax.eval_shape(
        partial(model.init_with_output, method="feature_map"), jax.random.key(0), _image(model)
    )
    shapes["fc6"] = (*feature_map.shape[1:], model.units)
    shapes["fc7"] = (1, 1, model.units, model.units)
    shapes["fc8"] = (1, 1, model.units, 0)
    return shapes


def _params(
    model: VGG, key: PRNGKeyArray, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, dict[str, Array]]:
    """The model's parameters from every layer's kernel (HWIO) and bias."""
    params = {}
    for name, (kernel, bias) in weights.items():
        if name in _FULLY_CONNECTED:
            kernel = kernel.reshape(-1, kernel.shape[-1])
        params[name] = {
            "kernel": jnp.asarray(kernel, model.param_dtype),
            "bias": jnp.asarray(bias, model.param_dtype),
        }
    if model.num_classes is None:
        del params["fc8"]
    elif model.num_classes != params["fc8"]["bias"].size:
        # Under jit only what is returned is computed.
        params["fc8"] = jax.jit(lambda key: model.init(key, _image(model), train=False)["params"]["fc8"])(key)
    return params


def _image(model: VGG) -> Float[Array, "1 h w 3"]:
    return jnp.zeros((1, IMAGE_SIDE, IMAGE_SIDE, 3), model.param_dtype)
