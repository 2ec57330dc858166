"""What reading costs, and how long training steps wait for it."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import UInt8

from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Suite
from geoattn_jax.data.flow import Stream
from geoattn_jax.data.levels import LEVELS, PAPER_LEVELS, Level
from geoattn_jax.data.mpii_videos import KEEPING, Keeping
from geoattn_jax.data.video import import_opencv, resize_image
from geoattn_jax.data.video_folder import load_video_folder
from geoattn_jax.experiments.attention.samples import RawSamples
from geoattn_jax.experiments.core.losses import cross_entropy
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.experiments.table_3.sources.mpii import MpiiClips
from geoattn_jax.experiments.table_3.sources.videos import VideoClips
from geoattn_jax.models.small import SMALL, SMALL_WIDE
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.training.phase import Params
from geoattn_jax.training.read_ahead import ReadAhead

AHEAD = 2  # batches
SAMPLES = 8  # of a batch of MPII Cooking
BATCH_SIZE, STEPS = 32, 8  # of the training on a folder of videos
CAMERA_HW = (1224, 1624)
TINY = Level("detail", (48, 64), (48, 48), (16, 16), max_pool=3)

# Milliseconds of a core for SAMPLES samples at commit 9f05dcd, see input-cpu-before.json.
BEFORE: Mapping[Stream, float] = {"rgb": 550, "flow": 1571}

METHOD = """\
What a training batch takes before a device has seen it.

- *reading*: `StreamFrames.training` of 8 samples of a prepared MPII Cooking at the paper's frame size, 896 x
  1189: a textured square that moves before a grainy wall, filmed at 1624 x 1224, flow kept at 448 x 594. A
  sample is a frame, or the ten flows around it, and R_h. Times are the *CPU time* of all threads: 8,000 / t
  samples per second and core.
- *steps*: 8 updates of the small networks at KitchenMini's detail level, 32 samples each, from a folder of
  videos whose frames and flows were computed before. Every update is waited for. With reading ahead, threads
  read two batches while it is computed, on the same cores here; an accelerator leaves them the cores. The
  last column says for which share of the time batches were waited for from the second on; the first of a
  training is always waited for.

`input-cpu-before.json` is of commit 9f05dcd, measured by this program with its calls: pictures and R_h were
asked for one after the other, so that flows were decoded twice, R_h was found by JAX, and nothing was read
ahead."""

WORKLOADS = {
    "rgb": "8 frames in colour of MPII Cooking",
    "flow": "8 stacks of ten flows of MPII Cooking",
    "rgb-steps": "8 updates on frames of video files",
    "flow-steps": "8 updates on stacks of ten flows of video files",
}


def cases(names: Sequence[str], smoke: bool) -> Iterator[Case]:
    """The cases of the named workloads; with few and small frames, and without goals, if `smoke`."""
    for name in names:
        stream, _, steps = name.partition("-")
        with tempfile.TemporaryDirectory() as folder:
            yield (_steps if steps else _reading)(name, stream, Path(folder), smoke)


def _reading(name: str, stream: Stream, folder: Path, smoke: bool) -> Case:
    level = TINY if smoke else PAPER_LEVELS["detail"]
    keeping = Keeping(TINY.frame_hw, (36, 48)) if smoke else KEEPING["detail"]
    frames = StreamFrames(_cooking(folder, keeping, level, count=8 if smoke else 40), level, stream)

    def call() -> RawSamples:
        return frames.training((0, 0, 0), SAMPLES, np.arange(SAMPLES))

    contender = Contender(OURS, "samples", call, arrays=lambda raw: {"pictures": raw.pictures})
    goals = [] if smoke else [Goal(BEFORE[stream] / 2, note="twice the speed", measure="milliseconds")]
    return Case(name, "reading", [contender], goals, cpu_time=True)


def _cooking(folder: Path, keeping: Keeping, level: Level, count: int) -> MpiiClips:
    """A clip to train on, one to test on, as long."""
    try:
        import tensorflow_datasets as tfds

        from geoattn_jax.data.mpii_cooking import ANNOTATIONS, VIDEO, MpiiCooking, MpiiCookingConfig
    except ImportError as error:
        raise ValueError(
            f"MPII Cooking's format needs pip install 'geoattn-jax[tfds,video]' ({error})"
        ) from None
    hw = tuple(round(size * level.frame_hw[0] / 896) for size in CAMERA_HW)
    rows = []
    for subject in (8, 11):
        video = f"s{subject:02d}-d02-cam-002"
        _write_video(folder / VIDEO.format(video), _moving_square(hw, count, step=3))
        rows.append(f"{subject},{video},1,{count},3,peel\n")
    (folder / ANNOTATIONS).parent.mkdir()
    (folder / ANNOTATIONS).write_text("".join(rows))
    builder = MpiiCooking(
        config=MpiiCookingConfig(name="bench", keeping=keeping), data_dir=folder / "prepared"
    )
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    return MpiiClips.of_protocol(builder, "fixed")


def _steps(name: str, stream: Stream, folder: Path, smoke: bool) -> Case:
    level, batch_size, steps = (LEVELS["general"], 2, 2) if smoke else (LEVELS["detail"], BATCH_SIZE, STEPS)
    for number in range(6):
        path = folder / "videos" / ("left", "right")[number % 2] / f"{number}.avi"
        step = 1 if number % 2 else -1
        _write_video(path, _moving_square(LEVELS["detail"].frame_hw, 3 if smoke else 40, step))
    videos = VideoClips(load_video_folder(folder / "videos", seed=0), folder / "kept")
    frames = StreamFrames(videos, level, stream)

    def read(step: int) -> RawSamples:
        return frames.training((0, 0, step), batch_size, np.arange(batch_size))

    params, update = _training(frames, read(0))
    contenders = []
    for words, ahead in (("", AHEAD), (", nothing read ahead", 0)):
        waits: list[float] = []
        call = partial(_train, update, params, read, steps, ahead, waits)
        contenders.append(
            Contender(OURS + words, "loss", call, arrays=lambda loss: {"loss": np.asarray(loss)}, waits=waits)
        )
    return Case(name, "steps", contenders)


def _training(frames: StreamFrames, raw: RawSamples) -> tuple[Params, Any]:
    """The small networks, and an update of them: (params, raw) -> (params, loss), compiled."""
    level = frames.level
    model = SSTN(
        SMALL(None), SMALL_WIDE(frames.num_classes), crop_hw=level.crop_hw, region_hw=level.window_hw
    )

    def loss(params: Params, raw: RawSamples) -> jax.Array:
        samples = frames.prepare(raw)
        seen = samples.frames, samples.top_left
        logits, _ = model.apply({"params": params}, *seen, train=True, rngs={"dropout": jax.random.key(0)})
        return cross_entropy(logits, samples.labels)[0]

    @jax.jit
    def update(params: Params, raw: RawSamples) -> tuple[Params, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(params, raw)
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        return optax.apply_updates(params, updates), value

    optimizer = optax.sgd(1e-3)
    samples = frames.prepare(raw)
    variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), samples.frames, samples.top_left)
    return variables["params"], update


def _train(update: Any, params: Params, read: Any, steps: int, ahead: int, waits: list[float]) -> jax.Array:
    began = waited = 0.0
    with ReadAhead(read, range(steps), ahead=ahead) as batches:
        for number, raw in enumerate(batches):
            if number == 0:
                began, waited = time.perf_counter(), batches.waited
            params, loss = jax.block_until_ready(update(params, raw))
    waits.append((batches.waited - waited) / (time.perf_counter() - began))
    return loss


def _moving_square(hw: tuple[int, int], count: int, step: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """A square that moves to the side before a still wall, both textured; with a camera's grain."""
    random = np.random.default_rng(0)
    side = hw[0] // 3
    wall, square = (
        resize_image(random.uniform(40, 210, (*np.array(size) // 8, 3)).astype(np.float32), size)
        for size in (hw, (side, side))
    )
    for time_ in range(count):
        frame = wall + random.normal(0, 3, (*hw, 1)).astype(np.float32)
        left = (hw[1] - side) // 2 + step * (time_ - count // 2)
        frame[side : 2 * side, left : left + side] = square
        yield frame.clip(0, 255).astype(np.uint8)


def _write_video(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]]) -> None:
    cv2 = import_opencv()
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for frame in frames:
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, frame.shape[1::-1])
        writer.write(frame)
    writer.release()


SUITE = Suite(title="Input", method=METHOD, workloads=WORKLOADS, cases=cases)
