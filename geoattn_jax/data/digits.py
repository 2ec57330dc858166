"""Handwritten digits: scikit-learn's bundled ones, or MNIST from a folder of IDX files."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.checks import check_choice

DigitSource = Literal["sklearn", "mnist"]
Split = Literal["train", "test"]

SOURCES = ("sklearn", "mnist")
SPLITS = ("train", "test")

DIGIT_SIZE = 28  # pixels
REFERENCE_FRAME = 64  # pixels: the paper's frames, where digit images have their own size
MNIST_MEAN = 33.318 / 255  # of the 60,000 training images, as the paper subtracts it

_IDX_UNSIGNED_BYTE = 0x08
_MNIST_PREFIX = {"train": "train", "test": "t10k"}
_MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"


class Digits(NamedTuple):
    """Handwritten digits, white ink on black.

    Attributes:
      images: pixels in [0, 1]; in MNIST's manner a digit fills about 20 of the 28 pixels.
      labels: which digit, 0 to 9.
      mean: mean pixel of the source's *training* images, the same for both splits. Frames rendered from
        these digits stay in [0, 1], to be looked at; a model is given `frames - mean`.
    """

    images: Float[np.ndarray, "n 28 28"]
    labels: Int[np.ndarray, " n"]
    mean: float


class DigitPool(NamedTuple):
    """Digits on the device, in order of their labels, so that one of a given label can be drawn under jit.

    Attributes:
      images: pixels in [0, 1].
      labels: which digit, ascending.
      first: for each label the position of its first image.
      count: for each label the number of its images.
    """

    images: Float[Array, "n size size"]
    labels: Int[Array, " n"]
    first: Int[Array, "10"]
    count: Int[Array, "10"]


def load_digits(source: DigitSource, split: Split, data_dir: str | Path | None = None) -> Digits:
    """Loads handwritten digits of 28x28 pixels.

    "sklearn" is the set of 1,797 digits of 8x8 pixels that comes with scikit-learn, enlarged; a stratified,
    fixed fifth of the samples is the test split. "mnist" reads the IDX files (plain or gzipped, under their
    standard names, like train-images-idx3-ubyte.gz) in `data_dir`.

    Args:
      source: "sklearn" or "mnist".
      split: "train" or "test".
      data_dir: folder of the MNIST files; not used by "sklearn".

    Returns: the digits, float32 images and int32 labels.
    Raises: ValueError for an unknown source or split, a missing `data_dir` or a damaged file;
      FileNotFoundError if the folder or a file is not there. Both name the file.
    """
    check_choice("load_digits", "source", source, SOURCES)
    check_choice("load_digits", "split", split, SPLITS)
    if source == "sklearn":
        return _load_sklearn(split)
    if data_dir is None:
        raise ValueError(
            "load_digits: data_dir must name the folder of the MNIST files when source is 'mnist', got None; "
            f"download the four files from {_MNIST_MIRROR} into a folder and name it"
        )
    return _load_mnist(split, Path(data_dir))


def digit_size(frame_size: int) -> int:
    """Height and width of a digit image in a frame: 28 pixels in 64, in the same proportion in others."""
    return round(DIGIT_SIZE * frame_size / REFERENCE_FRAME)


def digit_pool(digits: Digits, *, frame_size: int) -> DigitPool:
    """Puts digits on the device, in the size that they have in frames of `frame_size` pixels.

    Raises: ValueError if a label from 0 to 9 has no image.
    """
    count = np.bincount(digits.labels, minlength=10)
    if not count.all():
        raise ValueError(
            "digit_pool: digits must hold every label from 0 to 9, "
            f"got none of {np.flatnonzero(count == 0).tolist()}; give it the whole split"
        )
    order = np.argsort(digits.labels, kind="stable")
    images, size = jnp.asarray(digits.images[order]), digit_size(frame_size)
    if size != DIGIT_SIZE:
        images = jax.image.resize(images, (len(images), size, size), "linear", antialias=True)
    return DigitPool(
        images=images,
        labels=jnp.asarray(digits.labels[order]),
        first=jnp.asarray(np.cumsum(count) - count, jnp.int32),
        count=jnp.asarray(count, jnp.int32),
    )


def check_pool(function: str, pool: DigitPool, frame_size: int) -> None:
    """Checks that the pool's digits have the size for frames of `frame_size` pixels.

    Raises: ValueError if they have another.
    """
    expected, size = digit_size(frame_size), pool.images.shape[-1]
    if size != expected:
        raise ValueError(
            f"{function}: pool must hold digits of {expected} pixels for frames of {frame_size}, got {size}; "
            f"make it by digit_pool(digits, frame_size={frame_size})"
        )


def _load_sklearn(split: Split) -> Digits:
    # Imported here: scikit-learn takes a second to import, and MNIST does not need it.
    from sklearn.datasets import load_digits as load_bundled
    from sklearn.model_selection import train_test_split

    bundled = load_bundled()
    train, test = train_test_split(
        np.arange(len(bundled.target)), test_size=0.2, random_state=0, stratify=bundled.target
    )
    images = _in_the_manner_of_mnist(bundled.images)
    chosen = np.sort(train if split == "train" else test)
    return Digits(images[chosen], bundled.target[chosen].astype(np.int32), mean=float(images[train].mean()))


def _in_the_manner_of_mnist(images: Float[np.ndarray, "n 8 8"]) -> Float[np.ndarray, "n 28 28"]:
    """Enlarges 8x8 images with values 0 to 16 smoothly to 20x20, inside MNIST's margin of 4 pixels."""
    padded = jnp.pad(jnp.asarray(images / 16, jnp.float32), ((0, 0), (2, 2), (2, 2)))
    smooth = jax.image.resize(padded, (len(images), 30, 30), "cubic")[:, 1:-1, 1:-1]
    return np.clip(smooth, 0, 1)


def _load_mnist(split: Split, folder: Path) -> Digits:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"load_digits: data_dir {str(folder)!r} is not a folder; name the folder that holds the MNIST "
            f"files (download them from {_MNIST_MIRROR})"
        )
    prefix = _MNIST_PREFIX[split]
    images_path = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = _read_idx(images_path, num_axes=3), _read_idx(labels_path, num_axes=1)
    if images.shape[1:] != (DIGIT_SIZE, DIGIT_SIZE):
        raise _damaged(images_path, f"its images are {images.shape[1:]} pixels, not 28x28")
    if len(images) != len(labels):
        raise _damaged(
            labels_path, f"it has {len(labels)} labels for the {len(images)} images of {images_path.name}"
        )
    if len(labels) == 0 or labels.max() > 9:
        raise _damaged(labels_path, "its labels must be 0 to 9, at least one")
    return Digits(images.astype(np.float32) / 255, labels.astype(np.int32), mean=MNIST_MEAN)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"load_digits: neither {name} nor {name}.gz is in {folder}; download it from {_MNIST_MIRROR} "
        "into that folder, under that name"
    )


def _read_idx(path: Path, *, num_axes: int) -> np.ndarray:
    """Reads an array of bytes: 0, 0, their type, the number of axes, each size (big-endian), the data."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be decompressed ({error})") from error
    header = 4 + 4 * num_axes
    magic = bytes([0, 0, _IDX_UNSIGNED_BYTE, num_axes])
    if content[:4] != magic:
        raise _damaged(path, f"it begins with {content[:4].hex(' ')} instead of {magic.hex(' ')}")
    if len(content) < header:
        raise _damaged(path, "it ends inside its header")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], ">u4"))
    if len(content) - header != math.prod(shape):
        raise _damaged(path, f"it holds {len(content) - header} bytes of data where {shape} was promised")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(
        f"load_digits: {path} is damaged or not MNIST's: {why}; download it again from {_MNIST_MIRROR}"
    )
