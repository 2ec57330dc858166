"""Digits: both sources, and every way in which a folder of MNIST files can be wrong."""

import gzip
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.data.digits import Digits, digit_pool, load_digits

LABELS = np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)


def idx(array, magic=None, shape=None):
    """The bytes of an IDX file."""
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    sizes = array.shape if shape is None else shape
    return magic + struct.pack(f">{len(sizes)}I", *sizes) + array.tobytes()


@pytest.fixture
def write(tmp_path):
    """Writes a folder of one split's files: damaged where told, gzipped if told."""

    def write(images=None, labels=None, prefix="train", gzipped=False):
        for kind, content in (
            ("images-idx3", idx(IMAGES) if images is None else images),
            ("labels-idx1", idx(LABELS) if labels is None else labels),
        ):
            name = f"{prefix}-{kind}-ubyte"
            if gzipped:
                (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (tmp_path / name).write_bytes(content)
        return tmp_path

    return write


@pytest.mark.parametrize("split", ["train", "test"])
def test_sklearn_digits_look_like_mnist(split):
    digits = load_digits("sklearn", split)
    assert digits.images.shape == (len(digits.labels), 28, 28)
    assert digits.images.dtype == np.float32
    assert digits.labels.dtype == np.int32
    assert digits.images.min() == 0
    assert digits.images.max() == 1
    assert set(digits.labels) == set(range(10))
    margin = np.ones((28, 28), bool)
    margin[2:-2, 2:-2] = False
    assert digits.images[:, margin].max() < 0.01


def test_sklearn_splits_share_no_sample_and_are_stratified():
    train, test = (load_digits("sklearn", split) for split in ("train", "test"))
    assert len(train.labels) + len(test.labels) == 1797
    known = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in known for image in test.images)
    share = np.bincount(test.labels) / np.bincount(np.concatenate([train.labels, test.labels]))
    np.testing.assert_allclose(share, 0.2, atol=0.01)


def test_sklearn_mean_is_of_the_training_images_in_both_splits():
    train, test = (load_digits("sklearn", split) for split in ("train", "test"))
    assert train.mean == test.mean == pytest.approx(train.images.mean(), rel=1e-6)


def test_sklearn_digits_are_the_same_at_every_load():
    first, second = load_digits("sklearn", "test"), load_digits("sklearn", "test")
    assert first.images.tobytes() == second.images.tobytes()


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
def test_mnist_files_are_read(write, split, prefix, gzipped):
    digits = load_digits("mnist", split, write(prefix=prefix, gzipped=gzipped))
    np.testing.assert_array_equal(digits.images, IMAGES.astype(np.float32) / 255)
    np.testing.assert_array_equal(digits.labels, LABELS)
    assert digits.mean == pytest.approx(33.318 / 255)


def test_real_mnist(mnist_folder):
    train, test = (load_digits("mnist", split, mnist_folder) for split in ("train", "test"))
    assert train.images.max() == 1
    assert train.images.mean() == pytest.approx(train.mean, abs=0.003)
    assert set(train.labels) == set(test.labels) == set(range(10))
    assert train.labels[:3].tolist() == [5, 0, 4]
    assert test.labels[:3].tolist() == [7, 2, 1]


IMAGES_FILE, LABELS_FILE = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("damage", "file", "said"),
    [
        ({"images": idx(IMAGES)[:-1]}, IMAGES_FILE, "5487 bytes"),
        ({"images": idx(IMAGES) + b"x"}, IMAGES_FILE, "5489 bytes"),
        ({"images": idx(IMAGES)[:9]}, IMAGES_FILE, "ends inside its header"),
        ({"images": b""}, IMAGES_FILE, "begins with"),
        ({"images": idx(IMAGES, magic=b"\x00\x00\x0d\x03")}, IMAGES_FILE, "00 00 0d 03"),
        ({"images": idx(LABELS)}, IMAGES_FILE, "00 00 08 01"),
        ({"images": idx(IMAGES[:, :27])}, IMAGES_FILE, r"\(27, 28\)"),
        ({"images": idx(IMAGES[:0]), "labels": idx(LABELS[:0])}, LABELS_FILE, "at least one"),
        ({"labels": idx(LABELS[:-1])}, LABELS_FILE, "6 labels for the 7 images"),
        ({"labels": idx(LABELS + 1)}, LABELS_FILE, "0 to 9"),
        ({"labels": idx(LABELS)[:-2]}, LABELS_FILE, "5 bytes"),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_damaged_file_is_named(write, damage, file, said, gzipped):
    with pytest.raises(ValueError, match=rf"{file}.* is damaged or not MNIST's: .*{said}.*download it again"):
        load_digits("mnist", "train", write(**damage, gzipped=gzipped))


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"no gzip", lambda b: b[:40] + b[60:]]
)
def test_a_damaged_compression_is_named(write, damage):
    folder = write(gzipped=True)
    path = folder / f"{IMAGES_FILE}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is damaged .*download it again"):
        load_digits("mnist", "train", folder)


@pytest.mark.parametrize("missing", [IMAGES_FILE, LABELS_FILE])
def test_a_missing_file_is_named(write, missing):
    folder = write()
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"neither {missing} nor {missing}\.gz is in .*download"):
        load_digits("mnist", "train", folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data_dir '.*nowhere' is not a folder"):
        load_digits("mnist", "train", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("svhn", "train"), "source must be one of 'sklearn', 'mnist', got 'svhn'"),
        (("sklearn", "valid"), "split must be one of 'train', 'test', got 'valid'"),
        (("mnist", "train"), "data_dir must name the folder"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        load_digits(*arguments)


def test_a_pool_finds_the_images_of_each_label():
    digits = load_digits("sklearn", "test")
    pool = digit_pool(digits, frame_size=64)
    for label, first, count in zip(range(10), pool.first, pool.count, strict=True):
        images = pool.images[int(first) : int(first + count)]
        np.testing.assert_array_equal(images, digits.images[digits.labels == label])


def test_a_smaller_pool_is_averaged_not_decimated():
    digits = load_digits("sklearn", "test")
    stripes = np.zeros_like(digits.images)
    stripes[:, :, ::2] = 1
    pool = digit_pool(digits._replace(images=stripes), frame_size=32)
    assert pool.images.shape[1:] == (14, 14)
    np.testing.assert_allclose(pool.images[:, :, 1:-1], 0.5, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_a_pool_without_some_label_is_refused():
    digits = Digits(np.zeros((3, 28, 28), np.float32), np.array([0, 1, 2], np.int32), mean=0.0)
    with pytest.raises(ValueError, match=r"got none of \[3, 4, 5, 6, 7, 8, 9\]"):
        digit_pool(digits, frame_size=64)


def test_a_pool_lies_on_the_device(pool):
    assert isinstance(pool.images, jnp.ndarray)
