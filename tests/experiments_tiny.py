"""The experiments' configs cut down to seconds, and MNIST files with a few digits in them."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

CONFIGS = Path(__file__).parent.parent / "configs"

# Two updates in each phase of the two-stage experiment, on videos of two frames.
TWO_STEPS = {
    "frame_size": 28,
    "video.settings": 2,
    "video.frames_per_setting": 1,
    "pretrain.batch_size": 4,
    "pretrain.steps.lenet": 2,
    "pretrain.steps.stn": 2,
    "pretrain.steps.dcn": 2,
    "pretrain.steps.deform": 2,
    "lstm.rounds": 3,
    "lstm.epochs": 1,
    "checkpoint_every": 1,
}
# Two more in each phase of the end-to-end experiment, whose classes are 100 and 55.
TWO_STREAMED_STEPS = {
    "lstm.batch_size": 5,
    "test_videos": 12,
    "curve.videos": 3,
    "curve.every": 1,
    "frames.steps.new_motion": 2,
    "frames.steps.new_digits": 2,
    "frames.batch_size": 4,
    "clips.steps.new_motion": 2,
    "clips.steps.new_digits": 2,
    "clips.batch_size": 2,
    "clips.units": 3,
}
# Two in each phase of supervised attention, on as few clips as there can be.
TWO_ATTENTION_STEPS = {
    "clips.train": 112,
    "clips.validation": 14,
    "clips.test": 42,
    "frames_per_clip": 1,
    "batch_size": 4,
    "sub_batches": 1,
    "evaluation_batch": 42,
    "guide.updates": 2,
    "joint.updates.detail": 2,
    "joint.updates.middle": 2,
    "joint.updates.general": 2,
    "evaluate_every": 1,
    "checkpoint_every": 1,
}
# The same for six streams.
TWO_STREAM_STEPS = {
    "runs": 1,
    "data.clips.train": 112,
    "data.clips.validation": 14,
    "data.clips.test": 42,
    "batch_size": 4,
    "evaluation_batch": 70,
    **{
        f"{stream}.{updates}": 2
        for stream in ("rgb", "flow")
        for updates in (
            "guide.updates",
            "joint.updates.detail",
            "joint.updates.middle",
            "joint.updates.general",
        )
    },
    "pooling.components": 3,
    "evaluate_every": 1,
    "checkpoint_every": 1,
}
STEPS = {
    "two_stage": TWO_STEPS,
    "end_to_end": TWO_STEPS | TWO_STREAMED_STEPS,
    "supervised_attention": TWO_ATTENTION_STEPS,
    "six_streams": TWO_STREAM_STEPS,
}


def load_config(name):
    """The config of configs/NAME.py."""
    path = CONFIGS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"configs_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def tiny_config(name, **overrides):
    """The same, with two steps in each phase and further changes; in keys, __ stands for a dot."""
    config = load_config(name)
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    steps = STEPS[config.experiment]
    if config.get("data", {}).get("source") == "video_folder":  # its folder tells how many clips there are
        steps = {key: value for key, value in steps.items() if not key.startswith("data.")}
    config.update_from_flattened_dict(steps | changes)
    return config


def write_mnist(folder):
    """Two images of every digit as the training files, one as the test files."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            path = folder / f"{prefix}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes()))
