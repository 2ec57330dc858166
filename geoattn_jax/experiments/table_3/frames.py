"""One stream of a data set's clips as supervised attention sees it: frames, or the flows around them."""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from geoattn_jax.data.crops import centre_crops, crop, random_crops
from geoattn_jax.data.flow import Stream, decode_stack
from geoattn_jax.data.levels import Level
from geoattn_jax.data.splits import Split
from geoattn_jax.experiments.attention.samples import (
    Samples,
    draw_light,
    normalize,
    pixels,
    portions,
)
from geoattn_jax.experiments.table_3.sources.protocol import CHANNELS, ClipSource, FrameNumbers
from geoattn_jax.ops.grid import crop_theta

FRAMES_FOR_SCALE = 64  # from which the flow's root mean square is taken
EPSILON = 1e-6  # squared pixels: clips in which nothing moves are not divided by zero


class StreamFrames:
    """A `FrameSource` of any data set; what it asks the data set for is kept.

    RGB is normalized as KitchenMini's frames are. From every flow its mean over the picture is subtracted,
    which is what a moving camera adds; then it is divided by the root mean square in training clips' regions.

    Attributes:
      source: the clips.
      level: at whose sizes.
      stream: which of the two.
    """

    panel_hw: ClassVar = None

    def __init__(self, source: ClipSource, level: Level, stream: Stream):
        self.source, self.level, self.stream = source, level, stream
        self.channels = CHANNELS[stream]
        self.num_classes = len(source.class_names)
        self._labels: dict[Split, Int[np.ndarray, " n"]] = {}
        self._lengths: dict[Split, Int[np.ndarray, " n"]] = {}
        self._unit: Float[Array, ""] | None = None

    def of(self, source: ClipSource) -> "StreamFrames":
        """The same stream of other clips."""
        return StreamFrames(source, self.level, self.stream)

    def training(self, key: PRNGKeyArray, batch_size: int) -> Samples:
        """Random frames of random training clips, randomly cropped; RGB in randomly changed light."""
        frame_key, light_key = jax.random.split(key)
        samples = self._samples(*self._draw(frame_key, batch_size))
        if self.stream == "rgb":
            samples = samples._replace(frames=_relit(light_key, samples.frames))
        return samples

    def evaluation(self, split: Split, batch_size: int) -> Iterator[Samples]:
        """One random frame of each clip, always the same one, cropped in the middle; batch by batch."""
        lengths = self._lengths_of(split)
        times = np.random.default_rng(0).integers(lengths)
        for clips in portions(len(lengths), batch_size):
            frames = FrameNumbers(split, self.level, clips, times[clips])
            yield self._samples(frames, centre_crops(self.level, len(clips)))

    def every_frame(self, split: Split, batch_size: int) -> Iterator[Samples]:
        """All frames of the first clip, of the second and so on, cropped in the middle.

        Each batch is a full one; the last is filled up with the last clip's last frame.
        """
        lengths = self._lengths_of(split)
        clips = np.repeat(np.arange(len(lengths)), lengths)
        times = np.arange(len(clips)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        for start in range(0, len(clips), batch_size):
            places = np.minimum(np.arange(start, start + batch_size), len(clips) - 1)
            frames = FrameNumbers(split, self.level, clips[places], times[places])
            yield self._samples(frames, centre_crops(self.level, batch_size))

    @property
    def is_still(self) -> bool:
        """Whether nothing moves in those training frames by which the flow is scaled."""
        return float(self._root_mean_square()) ** 2 <= 2 * EPSILON

    def _labels_of(self, split: Split) -> Int[np.ndarray, " n"]:
        if split not in self._labels:
            self._labels[split] = self.source.labels(split).astype(np.int32)
        return self._labels[split]

    def _lengths_of(self, split: Split) -> Int[np.ndarray, " n"]:
        if split not in self._lengths:
            self._lengths[split] = self.source.lengths(split).astype(np.int32)
        return self._lengths[split]

    def _root_mean_square(self) -> Float[Array, ""]:
        """Of the flow in hard-coded regions of training clips, pixels."""
        if self._unit is None:
            self._unit = self._measured_unit()
        return self._unit

    def _measured_unit(self) -> Float[Array, ""]:
        frames, top_left = self._draw(jax.random.key(0), FRAMES_FOR_SCALE)
        stacks = self.source.read("flow", frames)
        window = self.source.windows(frames, np.asarray(top_left))
        flow = decode_stack(stacks, bound=self.source.flow_bound)
        regions = crop(flow, top_left + jnp.asarray(window, jnp.int32), self.level.window_hw)
        return jnp.sqrt(jnp.mean(jnp.square(regions)) + EPSILON)

    def _draw(self, key: PRNGKeyArray, batch_size: int) -> tuple[FrameNumbers, Int[Array, "b 2"]]:
        """Training clips, a frame of each, and crops."""
        clip_key, time_key, crop_key = jax.random.split(key, 3)
        lengths = self._lengths_of("train")
        clips = np.asarray(jax.random.randint(clip_key, (batch_size,), 0, len(lengths)))
        times = np.asarray(jax.random.randint(time_key, (batch_size,), 0, lengths[clips]))
        frames = FrameNumbers("train", self.level, clips, times)
        return frames, random_crops(crop_key, self.level, batch_size)

    def _samples(self, frames: FrameNumbers, top_left: Int[Array, "b 2"]) -> Samples:
        split, _, clips, times = frames
        read = self.source.read(self.stream, frames)
        window = self.source.windows(frames, np.asarray(top_left))
        if self.stream == "rgb":
            seen = _normalized(read)
        else:
            seen = _scaled(read, self._root_mean_square(), bound=self.source.flow_bound)
        unknown = jnp.full((len(clips), 2), jnp.nan)
        return Samples(
            frames=seen,
            top_left=top_left,
            theta_2=crop_theta(jnp.asarray(window), self.level.window_hw, input_hw=self.level.crop_hw),
            hand=unknown,
            panel=unknown,
            labels=jnp.asarray(self._labels_of(split)[clips]),
            clips=jnp.asarray(clips, jnp.int32),
            times=jnp.asarray(times, jnp.int32),
        )


@jax.jit
def _normalized(frames: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    return normalize(frames.astype(jnp.float32) / 255)


@jax.jit
def _relit(key: PRNGKeyArray, frames: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    return normalize(draw_light(key, len(frames)) * pixels(frames))


@partial(jax.jit, static_argnames="bound")
def _scaled(
    stacks: UInt8[Array, "b h w c"], unit: Float[Array, ""], *, bound: float
) -> Float[Array, "b h w c"]:
    return decode_stack(stacks, bound=bound) / unit
