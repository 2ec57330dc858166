"""TFDS builders: prepared and read without TensorFlow, the records are the rendered frames."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets", reason="needs geoattn-jax[tfds]")
pytest.importorskip("array_record", reason="needs geoattn-jax[tfds]")

from geoattn_jax.data.moving_digits import CONDITIONS, render_videos
from geoattn_jax.data.scaled_digits import render_scaled_digits
from geoattn_jax.data.tfds_builders import MovingDigits, MovingDigitsConfig, ScaledDigits, ScaledDigitsConfig

FRAME = 18  # pixels, as in `pool`


def prepared(builder_class, config, folder):
    builder = builder_class(config=config, data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    return builder


def as_set(images, labels):
    return {(np.asarray(image).tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def to_bytes(frames):
    return np.round(np.asarray(frames) * 255).astype(np.uint8)


def test_moving_digits_round_trip(tmp_path, unseen_pool):
    config = MovingDigitsConfig(
        name="tiny", condition="rotation", protocol="new_digits", frame_size=FRAME, settings=1, seed=3
    )
    builder = prepared(MovingDigits, config, tmp_path)
    source = builder.as_data_source(split="test")
    assert len(source) == len(builder.as_data_source(split="train")) == 55
    read = [source[index] for index in range(len(source))]
    assert read[0]["video"].shape == (5, FRAME, FRAME, 1)
    video = config.videos("test")
    frames, labels = render_videos(video, unseen_pool, 3, jnp.arange(55))
    assert as_set((r["video"] for r in read), (r["label"] for r in read)) == as_set(to_bytes(frames), labels)
    assert builder.info.features["label"].names == video.class_names


def test_scaled_digits_round_trip(tmp_path, pool):
    config = ScaledDigitsConfig(name="tiny", frame_size=FRAME, num_frames={"train": 7, "test": 3}, seed=3)
    builder = prepared(ScaledDigits, config, tmp_path)
    assert len(builder.as_data_source(split="test")) == 3
    source = builder.as_data_source(split="train")
    read = [source[index] for index in range(len(source))]
    frames, labels = render_scaled_digits(pool, 3, jnp.arange(7), frame_size=FRAME)
    assert as_set((r["image"] for r in read), (r["label"] for r in read)) == as_set(to_bytes(frames), labels)


def test_every_condition_is_a_builder_config():
    names = set(MovingDigits.builder_configs)
    assert {f"sklearn_interleaved_{condition}" for condition in CONDITIONS} < names
    assert "mnist_new_digits_rotation_scaling" in names
    assert set(ScaledDigits.builder_configs) == {"sklearn", "mnist"}


def test_the_mnist_configs_say_where_the_files_belong(tmp_path):
    builder = ScaledDigits(config="mnist", data_dir=tmp_path, file_format="array_record")
    with pytest.raises(AssertionError, match="MNIST's four IDX files"):
        builder.download_and_prepare()


def test_neither_package_nor_builders_import_tensorflow():
    program = (
        "import sys, geoattn_jax.data.moving_digits, geoattn_jax.data.scaled_digits\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "import geoattn_jax.data.tfds_builders\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
