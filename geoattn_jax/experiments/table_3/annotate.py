"""What a finished run of six streams makes of a video file: where it looks and what it recognizes."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from geoattn_jax.data.flow import Stream
from geoattn_jax.data.levels import Level
from geoattn_jax.data.splits import Split
from geoattn_jax.data.video import WRITABLE, read_video
from geoattn_jax.data.video_cache import cached_frames
from geoattn_jax.data.video_folder import LabelledClip, VideoFolder
from geoattn_jax.experiments.attention.region_measures import corners_of
from geoattn_jax.experiments.attention.trainings import MODELS, AttentionLevel
from geoattn_jax.experiments.core.config import Config, ConfigError
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.migration import bring_up_to_date
from geoattn_jax.experiments.table_3.experiment import FUSED, SixStreams
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource
from geoattn_jax.experiments.table_3.sources.videos import VideoClips, check_opencv
from geoattn_jax.figures import annotated_strip
from geoattn_jax.figures.annotated import VIDEO_SIZE, annotated_video
from geoattn_jax.ops.coordinates import rescale_coords
from geoattn_jax.training import open_workdir, read_config

TOP = 3  # classes that are named


def annotate(
    workdir: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike | None
) -> list[Path]:
    """Writes a video with the regions that a run's networks attend to, and the classes that it may be of.

    The regions are the spatial stream's at each level, those of the config's first model in the first run;
    the scores of the classes are the fused ones of all streams, and above 0 on the side of the class.

    Args:
      workdir: a folder in which train.py has finished six streams.
      video: the file.
      out: the file to write, ".mp4" or ".gif"; None is figures/NAME.mp4 in the workdir. Some frames are
        drawn side by side into a PNG file beside it.

    Returns: the files that were written.
    Raises: WorkdirError if the folder holds no finished training, ConfigError if it is of another experiment
      or out is another kind of file, VideoError naming the video if it cannot be read or has one frame.
    """
    bring_up_to_date(workdir)
    config = Config(read_config(workdir))
    if config.experiment != "six_streams" or config.scale != "mini":
        raise ConfigError(
            f"--video needs a workdir of configs/table_b3.py, configs/video_folder.py or another config of "
            f"six_streams that is not at the paper's scale; {workdir} is of {config.experiment}"
        )
    check_opencv()
    video = Path(video).absolute()
    with open_workdir(workdir, config.to_dict()) as folder:
        out = folder / "figures" / f"{video.stem}.mp4" if out is None else Path(out)
        if out.suffix not in WRITABLE or out.absolute() == video:
            raise ConfigError(f"--out must end in .mp4 or .gif and be another file than --video, got {out}")
        strip = out.with_suffix(".png")
        annotation = _annotation(SixStreams.prepare(config), Fitting(config, folder, trains=False), video)
        annotated_video(out, *annotation, fps=read_video(video, stop=1).fps)
        annotated_strip(strip, *annotation)
    return [out, strip]


class Annotation(NamedTuple):
    """What is drawn, see `annotated_strip`."""

    frames: UInt8[np.ndarray, "t h w 3"]
    outlines: Mapping[str, Float[np.ndarray, "t 4 2"]]
    lines: Sequence[str]


def _annotation(experiment: SixStreams, fitting: Fitting, video: Path) -> Annotation:
    config, run, kept = experiment.config, experiment.source(fitting), fitting.workdir / "clips"
    clips = {"test": (LabelledClip(video, label=0),)}
    file = VideoClips(VideoFolder(tuple(run.class_names), clips), kept, run.flow_bound)
    streams = experiment.streams(WithVideo(run, file), fitting)
    model, seed = config.models[0], config.seed

    height, width = read_video(video, stop=1).frames.shape[1:3]
    zoom = min(1.0, VIDEO_SIZE / max(height, width))
    frames = cached_frames(video, kept, resize_hw=(round(zoom * height), round(zoom * width)))
    outlines = {}
    for name in config.levels:
        level = streams[name, "rgb"]
        corners, sizes = _corners(level, config.localizer, model, seed), level.frames.level
        outlines[name] = np.asarray(
            rescale_coords(jnp.asarray(corners), from_hw=sizes.frame_hw, to_hw=frames.shape[1:3])
        )
    (scores,) = experiment.test_scores(streams, seed)["spatial_temporal", FUSED, model].values
    best = np.argsort(scores)[::-1][:TOP]
    lines = [f"{place}. {run.class_names[label]} {scores[label]:.2f}" for place, label in enumerate(best, 1)]
    return Annotation(frames, outlines, ["", *lines])


@dataclasses.dataclass(frozen=True, eq=False)
class WithVideo:
    """A `ClipSource` of a run's training clips, and one video as the only test clip.

    Attributes:
      run: the run's data set.
      video: whose test clip is taken.
    """

    run: ClipSource
    video: ClipSource

    @property
    def class_names(self) -> Sequence[str]:
        """See `ClipSource`."""
        return self.run.class_names

    @property
    def class_groups(self) -> Mapping[str, Sequence[int]]:
        """See `ClipSource`."""
        return self.run.class_groups

    @property
    def flow_bound(self) -> float:
        """See `ClipSource`."""
        return self.run.flow_bound

    def labels(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return self._of(split).labels(split)

    def lengths(self, split: Split) -> Int[np.ndarray, " n"]:
        """See `ClipSource`."""
        return self._of(split).lengths(split)

    def read(
        self,
        split: Split,
        level: Level,
        stream: Stream,
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b h w c"]:
        """See `ClipSource`."""
        return self._of(split).read(split, level, stream, clips, times)

    def windows(
        self,
        split: Split,
        level: Level,
        clips: Int[np.ndarray, " b"],
        times: Int[np.ndarray, " b"],
        top_left: Int[np.ndarray, "b 2"],
    ) -> Float[np.ndarray, "b 2"]:
        """See `ClipSource`."""
        return self._of(split).windows(split, level, clips, times, top_left)

    def _of(self, split: Split) -> ClipSource:
        return self.video if split == "test" else self.run


def _corners(level: AttentionLevel, localizer: str, model: str, seed: int) -> Float[np.ndarray, "n 4 2"]:
    """Of the region in every frame of the test clips, pixels of the level's frame."""
    task, variables = level.trained(localizer, model, seed)
    sizes, parts = level.frames.level, []
    for samples in level.frames.every_frame("test", level.config.evaluation_batch):
        theta = task.theta(variables, samples, MODELS[model].region)
        corners = corners_of(theta, sizes.crop_hw) + samples.top_left[:, None].astype(jnp.float32)
        parts.append(np.asarray(corners))
    return np.concatenate(parts)[: level.frames.source.lengths("test").sum()]
