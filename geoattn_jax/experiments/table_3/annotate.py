"""What a finished run of six streams makes of a video file: where it looks and what it recognizes."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from geoattn_jax.data.video import read_video
from geoattn_jax.data.video_cache import cached_frames
from geoattn_jax.data.video_folder import LabelledClip, VideoFolder
from geoattn_jax.experiments.attention.region_measures import corners_of
from geoattn_jax.experiments.attention.samples import RawSamples
from geoattn_jax.experiments.attention.task import Variables
from geoattn_jax.experiments.attention.trainings import MODELS, AttentionLevel
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.table_3.experiment import SixStreams
from geoattn_jax.experiments.table_3.scores import FUSED
from geoattn_jax.experiments.table_3.sources.videos import VideoClips, check_opencv
from geoattn_jax.figures import annotated_strip
from geoattn_jax.figures.annotated import VIDEO_SIZE, annotated_video
from geoattn_jax.figures.lettering import embedded
from geoattn_jax.ops.coordinates import rescale_coords
from geoattn_jax.training.devices import on_all_devices

TOP = 3  # classes that are named


def annotate(experiment: SixStreams, video: Path, out: Path) -> list[Path]:
    """Writes a video with the regions that a run's networks attend to, and the classes that it may be of.

    The regions are the spatial stream's at each level, those of the config's first model in the first run;
    the scores of the classes are the fused ones of all streams, and above 0 on the side of the class.

    Args:
      experiment: finished.
      video: the file.
      out: the file to write, ".mp4" or ".gif". Some frames are drawn side by side into a PNG file beside it.

    Returns: the files that were written.
    Raises: ConfigError if the networks are at the paper's scale or out cannot be written, VideoError naming
      the video if it cannot be read or has one frame.
    """
    if experiment.plan.results.scale != "mini":
        raise ConfigError(
            "--video needs a workdir of configs/table_b3.py, configs/video_folder.py or another config of "
            "six_streams that is not at the paper's scale"
        )
    check_opencv(experiment.source.flow_method)
    strip = out.with_suffix(".png")
    annotation = _annotation(experiment, video)
    try:
        annotated_video(out, *annotation, fps=read_video(video, stop=1).fps)
        annotated_strip(strip, *annotation)
    except OSError as error:
        raise ConfigError(f"the pictures cannot be written: {error}") from error
    return [out, strip]


class Annotation(NamedTuple):
    """What is drawn, see `annotated_strip`."""

    frames: UInt8[np.ndarray, "t h w 3"]
    outlines: Mapping[str, Float[np.ndarray, "t 4 2"]]
    lines: Sequence[str]


def _annotation(experiment: SixStreams, video: Path) -> Annotation:
    results, run = experiment.plan.results, experiment.source
    kept = experiment.fitting.workdir / "clips"
    clips = {"test": (LabelledClip(video, label=0),)}
    file = VideoClips(
        VideoFolder(tuple(run.class_names), clips),
        kept,
        flow_bound=run.flow_bound,
        flow_method=run.flow_method,
    )
    watched = experiment.of_video(file)
    model, seed = results.models[0], results.seed

    height, width = read_video(video, stop=1).frames.shape[1:3]
    zoom = min(1.0, VIDEO_SIZE / max(height, width))
    frames = cached_frames(video, kept, resize_hw=(round(zoom * height), round(zoom * width)))
    outlines = {}
    for name in results.levels:
        level = watched.streams[name, "rgb"]
        corners, sizes = _corners(level, results.localizer, model, seed), level.frames.level
        outlines[name] = np.asarray(
            rescale_coords(jnp.asarray(corners), from_hw=sizes.frame_hw, to_hw=frames.shape[1:3])
        )
    (scores,) = watched.test_scores(seed)["spatial_temporal", FUSED, model].values
    best = np.argsort(scores)[::-1][:TOP]
    lines = [
        f"{place}. {embedded(run.class_names[label])} {scores[label]:.2f}"
        for place, label in enumerate(best, 1)
    ]
    return Annotation(frames, outlines, ["", *lines])


def _corners(level: AttentionLevel, localizer: str, model: str, seed: int) -> Float[np.ndarray, "n 4 2"]:
    """Of the region in every frame of the test clips, pixels of the level's frame."""
    task, variables = level.trained(localizer, model, seed)
    frames, sizes = level.frames, level.frames.level

    def corners(variables: Variables, batch: RawSamples) -> Float[Array, "b 4 2"]:
        theta = task.theta(variables, batch, MODELS[model].region)
        return corners_of(theta, sizes.crop_hw) + batch.top_left[:, None].astype(jnp.float32)

    of_frames = on_all_devices(
        corners,
        variables,
        partial(frames.every_frame, "test"),
        count=frames.num_frames("test"),
        batch_size=level.config.evaluation_batch,
        reads_ahead=frames.reads_ahead,
    )
    return np.concatenate(list(of_frames))
