"""One stream of a data set's clips as supervised attention sees it: frames, or the flows around them."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.data.flow import LEVELS, Stream, decode_stack
from geoattn_jax.data.levels import Level
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.samples import RawSamples, Samples, draw_light, normalize, relit
from geoattn_jax.experiments.table_3.sources.protocol import CHANNELS, ClipSource, FrameNumbers
from geoattn_jax.ops.grid import crop_theta

FRAMES_FOR_SCALE = 64  # from which the flow's root mean square is taken
EPSILON = 1e-6  # squared pixels: clips in which nothing moves are not divided by zero


class StreamFrames:
    """A `FrameSource` of any data set; what it asks the data set for is kept.

    Frames are read on the host, by NumPy alone, so that threads can do it while the device computes; the same
    rows are read as the same numbers whatever else is read.

    RGB is normalized as KitchenMini's frames are. From every flow its mean over the picture is subtracted,
    which is what a moving camera adds; then it is divided by the root mean square in training clips' regions.

    Attributes:
      source: the clips.
      level: at whose sizes.
      stream: which of the two.
    """

    panel_hw: ClassVar = None
    reads_ahead: ClassVar = 2

    def __init__(self, source: ClipSource, level: Level, stream: Stream):
        self.source, self.level, self.stream = source, level, stream
        self.channels = CHANNELS[stream]
        self.num_classes = len(source.class_names)
        self._labels: dict[Split, Int[np.ndarray, " n"]] = {}
        self._lengths: dict[Split, Int[np.ndarray, " n"]] = {}
        self._unit: float | None = None

    def of(self, source: ClipSource) -> "StreamFrames":
        """The same stream of other clips."""
        return StreamFrames(source, self.level, self.stream)

    def training(
        self, draw: tuple[int, int, int], batch_size: int, rows: Int[np.ndarray, " r"]
    ) -> RawSamples:
        """Random frames of random training clips, randomly cropped; RGB in randomly changed light.

        Args:
          draw: the numbers that determine the batch: seed, phase, step.
          batch_size: of the whole batch, all of which is drawn.
          rows: those of the batch that are read.
        """
        random = np.random.default_rng(draw)
        frames, top_left = self._draw(random, batch_size)
        light = draw_light(random, batch_size) if self.stream == "rgb" else _unchanged(batch_size)
        chosen = frames._replace(clips=frames.clips[rows], times=frames.times[rows])
        return self._read(chosen, top_left[rows], light[rows])

    def num_samples(self, split: Split) -> int:
        """One for each clip."""
        return len(self._lengths_of(split))

    def evaluation(self, split: Split, rows: Int[np.ndarray, " r"]) -> RawSamples:
        """One random frame of each of these clips, always the same one, cropped in the middle."""
        times = np.random.default_rng(0).integers(self._lengths_of(split))
        return self._in_the_middle(split, rows, times[rows])

    def num_frames(self, split: Split) -> int:
        """How many all clips have together."""
        return int(self._lengths_of(split).sum())

    def every_frame(self, split: Split, rows: Int[np.ndarray, " r"]) -> RawSamples:
        """Frames cropped in the middle, numbered over all clips: those of the first clip come first."""
        ends = np.cumsum(self._lengths_of(split))
        clips = np.searchsorted(ends, rows, side="right")
        return self._in_the_middle(split, clips, rows - (ends - self._lengths_of(split))[clips])

    def prepare(self, raw: RawSamples) -> Samples:
        """What a network is given, from what was read; to be compiled.

        The flow's scale is found first, from training clips, unless that is done.
        """
        raw = jax.tree.map(jnp.asarray, raw)
        if self.stream == "rgb":
            seen = normalize(relit(raw.pictures.astype(jnp.float32) / 255, raw.light))
        else:
            seen = decode_stack(raw.pictures, bound=self.source.flow_bound) / self._root_mean_square()
        unknown = jnp.full((len(raw.labels), 2), jnp.nan)
        return Samples(
            frames=seen,
            top_left=raw.top_left,
            theta_2=crop_theta(raw.windows, self.level.window_hw, input_hw=self.level.crop_hw),
            hand=unknown,
            panel=unknown,
            labels=raw.labels,
            clips=raw.clips,
            times=raw.times,
        )

    @property
    def is_still(self) -> bool:
        """Whether nothing moves in those training frames by which the flow is scaled."""
        return self._root_mean_square() ** 2 <= 2 * EPSILON

    def _labels_of(self, split: Split) -> Int[np.ndarray, " n"]:
        if split not in self._labels:
            self._labels[split] = self.source.labels(split).astype(np.int32)
        return self._labels[split]

    def _lengths_of(self, split: Split) -> Int[np.ndarray, " n"]:
        if split not in self._lengths:
            self._lengths[split] = self.source.lengths(split).astype(np.int32)
        return self._lengths[split]

    def _root_mean_square(self) -> float:
        """Of the flow in hard-coded regions of training clips, pixels."""
        if self._unit is None:
            # Sources may compute with JAX, which is not to become a part of the program being compiled.
            with jax.ensure_compile_time_eval():
                self._unit = self._measured_unit()
        return self._unit

    def _measured_unit(self) -> float:
        frames, top_left = self._draw(np.random.default_rng(0), FRAMES_FOR_SCALE)
        squares = []
        for one in range(FRAMES_FOR_SCALE):  # at the paper's size, all of them take more than a gigabyte
            frame = frames._replace(clips=frames.clips[[one]], times=frames.times[[one]])
            (stack,), (window,) = self.source.read("flow", frame, top_left[[one]])
            (top, left), (height, width) = top_left[one] + window.astype(int), self.level.window_hw
            region = stack[top : top + height, left : left + width] - stack.mean(axis=(0, 1))
            squares.append(np.mean(np.square(region)))
        step = self.source.flow_bound / LEVELS  # pixels that a code stands for
        return float(np.sqrt(step**2 * np.mean(squares) + EPSILON))

    def _draw(
        self, random: np.random.Generator, batch_size: int
    ) -> tuple[FrameNumbers, Int[np.ndarray, "b 2"]]:
        """Training clips, a frame of each, and crops."""
        lengths = self._lengths_of("train")
        clips = random.integers(len(lengths), size=batch_size)
        frames = FrameNumbers("train", self.level, clips, random.integers(lengths[clips]))
        return frames, _crops_at(random.integers(self.level.crop_range + 1, size=batch_size))

    def _in_the_middle(
        self, split: Split, clips: Int[np.ndarray, " r"], times: Int[np.ndarray, " r"]
    ) -> RawSamples:
        top_left = _crops_at(np.full(len(clips), self.level.crop_range // 2))
        return self._read(FrameNumbers(split, self.level, clips, times), top_left, _unchanged(len(clips)))

    def _read(
        self, frames: FrameNumbers, top_left: Int[np.ndarray, "r 2"], light: Float[np.ndarray, "r 1 1 4"]
    ) -> RawSamples:
        pictures, windows = self.source.read(self.stream, frames, top_left)
        return RawSamples(
            pictures=pictures,
            light=light,
            top_left=top_left,
            windows=windows,
            labels=self._labels_of(frames.split)[frames.clips],
            clips=frames.clips.astype(np.int32),
            times=frames.times.astype(np.int32),
        )


def _unchanged(count: int) -> Float[np.ndarray, "count 1 1 4"]:
    """The light of frames that stay as they are."""
    return np.ones((count, 1, 1, 4), np.float32)


def _crops_at(left: Int[np.ndarray, " r"]) -> Int[np.ndarray, "r 2"]:
    """The top-left pixels (y, x) of crops, which move along the frame."""
    return np.stack([np.zeros_like(left), left], axis=-1).astype(np.int32)
