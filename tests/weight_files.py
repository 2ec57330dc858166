"""Weight files with the structure of the published ones, of the networks with an eighth of their channels."""

import numpy as np
import scipy.io
from narrow_vgg import NarrowVGG16

CLASSES = 11
AVERAGE = np.random.default_rng(5).uniform(90, 140, (224, 224, 3)).astype("float32")


def some_weights(model_class):
    """Every layer's filters, HWIO, and biases, as MatConvNet keeps them."""
    rng = np.random.default_rng(0)
    side, channels, shapes = (7 if model_class is NarrowVGG16 else 6), 3, {}
    for row in model_class.convs:
        shapes[row.name] = (row.kernel, row.kernel, channels, row.features)
        channels = row.features
    shapes |= {"fc6": (side, side, channels, 40), "fc7": (1, 1, 40, 40), "fc8": (1, 1, 40, CLASSES)}
    return {
        name: [
            (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:3]))).astype("float32"),
            rng.normal(size=(1, shape[3])).astype("float32"),
        ]
        for name, shape in shapes.items()
    }


def cell(items):
    """A MATLAB cell array of one row."""
    array = np.empty((1, len(items)), object)
    for n, item in enumerate(items):
        array[0, n] = item
    return array


def matconvnet_layers(model_class, *, old=False):
    """The structs of a file's layers: those of the convolutions, and some without weights."""
    rows = {row.name: row for row in model_class.convs}
    layers = []
    for name, (filters, biases) in some_weights(model_class).items():
        arrays = {"filters": filters, "biases": biases} if old else {"weights": cell([filters, biases])}
        stride, pad = (rows[name].stride, rows[name].pad) if name in rows else (1, 0)
        geometry = {"stride": float(stride), "pad": float(pad)}
        if not old:
            geometry = {"stride": [[stride] * 2], "pad": [[pad] * 4]}
        layers.append({"name": name, "type": "conv", **arrays, **geometry})
        layers.append({"name": f"relu_{name}", "type": "relu", **({} if old else {"weights": cell([])})})
    return layers


def write_matconvnet(path, model_class, *, old=False, layers=None, average=AVERAGE):
    layers = cell(matconvnet_layers(model_class, old=old) if layers is None else layers)
    normalization = {"normalization": {"averageImage": average, "imageSize": [[224.0, 224.0, 3.0]]}}
    rest = normalization if old else {"meta": normalization}
    scipy.io.savemat(path, {"layers": layers, **rest}, do_compression=False)
    return path


def torchvision_state(model_class=NarrowVGG16):
    """The same weights in torch's layout, under torchvision's names."""
    convs = [f"features.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    state = {}
    for name, (filters, biases) in zip(
        [*convs, *(f"classifier.{n}" for n in (0, 3, 6))], some_weights(model_class).values(), strict=True
    ):
        weight = np.ascontiguousarray(filters.transpose(3, 2, 0, 1))
        state[f"{name}.weight"] = weight.reshape(len(weight), -1) if "classifier" in name else weight
        state[f"{name}.bias"] = biases[0]
    return state
