"""TensorFlow Datasets builder of MPII Cooking Activities (Rohrbach et al. 2012), from the manual download.

    builder = MpiiCooking(config="detail", data_dir=folder)
    builder.download_and_prepare()  # reads folder/downloads/manual, see MANUAL_DOWNLOAD_INSTRUCTIONS
    clips = MpiiRecords.of_subjects(builder, subjects_of("fold_1", "train"))

Needs `pip install geoattn-jax[tfds,video]` and no TensorFlow. Another place for the download is named by
`download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=...))`.

Each video is decoded once, from beginning to end. Its annotated frames are kept as JPEG pictures, scaled, and
so is the optical flow from each to the next, in 8 bits. A record is one frame: a random frame of a clip costs
the reading of one picture, however long the clip is. The clips, which may overlap, are a table in
`builder.info.metadata`. The TFDS splits are `subject_08_rgb`, `subject_08_flow` and so on for each subject;
`mpii_annotations.subjects_of` says which make up the training and the test set.

A few frames are in memory at a time. Preparation that was interrupted goes on with the first video that is
not finished. (TFDS's own writers keep records in memory, need TensorFlow for many, and would begin anew.)

What it takes, measured on a video enlarged to 1624 x 1224: a frame of config `detail` 64 ms of CPU time, and
105 kB of disk with 30 kB for its flow; of `mini` 19 ms, 9 and 5 kB. For MPII Cooking's 881,755 frames that is
16 hours of one core and 119 GB, or 5 hours and 13 GB; a camera's frames hold more detail than enlarged ones
and take more. With a stride of 4, which keeps all flows and every fourth frame, it is 50 or 7 GB.
"""

import dataclasses
import fcntl
import hashlib
import itertools
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rich.console
import rich.progress
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from geoattn_jax.data.flow import METHODS, STREAMS, FlowMethod, Stream
from geoattn_jax.data.mpii_annotations import BACKGROUND, Interval, class_names, read_intervals
from geoattn_jax.data.mpii_records import encode_flow_picture, encode_frame, split_name
from geoattn_jax.data.mpii_videos import KEEPING, Keeping, Recording, clips_of, kept_frames, recordings_of
from geoattn_jax.files import temporary_of
from geoattn_jax.ops.checks import check_choice

ANNOTATIONS = "annotations/detectionGroundtruth-1-0.csv"
VIDEO = "videos/{}.avi"

_MANUAL = f"""\
Get the videos and the annotations of MPII Cooking Activities from
https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/\
human-activity-recognition/mpii-cooking-activities-dataset
and put them into manual_dir under these names:
  {ANNOTATIONS}
  {VIDEO.format("s08-d02-cam-002")} and so on, one for each file_name in the annotations"""

_RECORDS = "group_size:1"  # each can be read alone

_log = logging.getLogger(__name__)


@dataclasses.dataclass(kw_only=True)
class MpiiCookingConfig(tfds.core.BuilderConfig):
    """What is kept of the videos.

    Attributes:
      keeping: how the frames are kept.
      background: whether the background activity is a class; otherwise its intervals are left out.
    """

    keeping: Keeping
    background: bool = True


def cooking_config(
    size: str, *, stride: int = 1, background: bool = True, flow_method: FlowMethod = "dis"
) -> MpiiCookingConfig:
    """The builder config of a size.

    Args:
      size: the level at whose size frames are kept, "detail", "middle" or "general", for these and the more
        general ones; "mini" for all levels of a seventh of the size.
      stride, background, flow_method: see `Keeping` and `MpiiCookingConfig`.

    Raises: ValueError for an unknown size or method.
    """
    check_choice("cooking_config", "size", size, KEEPING)
    check_choice("cooking_config", "flow_method", flow_method, METHODS)
    made = _make_config(size, stride, background, flow_method)
    return MpiiCooking.builder_configs.get(made.name, made)  # TFDS takes no equal one in place of its own


def _make_config(
    size: str, stride: int = 1, background: bool = True, flow_method: FlowMethod = "dis"
) -> MpiiCookingConfig:
    name = size + ("" if background else "_activities") + (f"_stride_{stride}" if stride > 1 else "")
    name += f"_{flow_method}" if flow_method != KEEPING[size].flow_method else ""
    keeping = dataclasses.replace(KEEPING[size], stride=stride, flow_method=flow_method)
    return MpiiCookingConfig(name=name, keeping=keeping, background=background)


class MpiiCooking(tfds.core.DatasetBuilder):
    """MPII Cooking Activities; a builder config for each size, with and without the background activity."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = _MANUAL
    BUILDER_CONFIGS = tuple(
        _make_config(size, background=background) for size in KEEPING for background in (True, False)
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Tensor(shape=(), dtype=np.object_),
                    "frame": tfds.features.Scalar(np.int32),  # in the video, counted from 1
                    "jpeg": tfds.features.Tensor(shape=(), dtype=np.object_),
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        del download_config
        folder, config = Path(dl_manager.manual_dir), self.builder_config
        intervals = _read_download(folder, background=config.background)
        recordings = recordings_of(intervals)
        unfinished = Path(self.data_dir_root) / self.name / config.name / "unfinished"
        with _claimed(unfinished):
            videos = self._prepare_all(folder, recordings, unfinished)
            names, frames = class_names(intervals), [video.frames["flow"] for video in videos]
            clips = clips_of(recordings, frames, list(names), config.keeping)
            self.info.metadata.update(
                class_names=list(names.values()),
                clips=[dataclasses.asdict(clip) for clip in clips],
                stride=config.keeping.stride,
                flow_bound=config.keeping.flow_bound,
                flow_method=config.keeping.flow_method,
            )
            self.info.set_file_format("array_record")
            self.info.set_splits(tfds.core.SplitDict(list(self._collect(videos))))
            shutil.rmtree(unfinished)

    def _as_dataset(self, *args, **kwargs):
        raise NotImplementedError("MpiiCooking is read by as_data_source; as_dataset would need TensorFlow")

    def _prepare_all(
        self, folder: Path, recordings: Sequence[Recording], unfinished: Path
    ) -> list["_Prepared"]:
        console, videos = rich.console.Console(stderr=True), []
        for recording in rich.progress.track(
            recordings, "preparing videos", console=console, disable=not console.is_terminal
        ):
            videos.append(self._prepare(folder / VIDEO.format(recording.video), recording, unfinished))
            _log.info("%d of %d videos prepared: %s", len(videos), len(recordings), recording.video)
        return videos

    def _prepare(self, path: Path, recording: Recording, folder: Path) -> "_Prepared":
        """Writes the record files of a video, unless an earlier attempt has done so."""
        state, keeping = path.stat(), self.builder_config.keeping
        intervals = [(interval.start, interval.end) for interval in recording.intervals]
        identity = repr((keeping, intervals, state.st_size, state.st_mtime_ns))
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        files = {stream: folder / f"{recording.video}-{key}.{stream}" for stream in STREAMS}
        if not all(file.exists() for file in files.values()):
            self._write(path, recording, files)
        with closing(ArrayRecordReader(str(files["flow"]))) as reader:
            annotated = list(itertools.islice(recording.frames(), reader.num_records()))
        frames = {"rgb": [number for number in annotated if keeping.keeps(number)], "flow": annotated}
        return _Prepared(recording, frames, files)

    def _write(self, path: Path, recording: Recording, files: Mapping[Stream, Path]) -> None:
        with ExitStack() as stack:
            writers = {
                stream: stack.enter_context(closing(ArrayRecordWriter(str(temporary_of(file)), _RECORDS)))
                for stream, file in files.items()
            }
            for kept in kept_frames(path, recording, self.builder_config.keeping):
                pictures = {"flow": encode_flow_picture(kept.flow)}
                if kept.frame is not None:
                    pictures["rgb"] = encode_frame(kept.frame)
                for stream, jpeg in pictures.items():
                    record = {"video": recording.video, "frame": kept.number, "jpeg": jpeg}
                    writers[stream].write(self.info.features.serialize_example(record))
        for file in files.values():
            temporary_of(file).replace(file)

    def _collect(self, videos: Sequence["_Prepared"]) -> Iterator[tfds.core.SplitInfo]:
        """Moves the record files to where TFDS looks for them: a video is a shard of its subject's splits."""
        for subject, group in itertools.groupby(videos, lambda video: video.recording.subject):
            of_subject = list(group)
            for stream in STREAMS:
                shards = [shard for shard in of_subject if shard.frames[stream]]
                if not shards:
                    continue
                template = tfds.core.ShardedFileTemplate(
                    data_dir=self.data_path,
                    dataset_name=self.name,
                    split=split_name(subject, stream),
                    filetype_suffix="array_record",
                )
                size = sum(shard.files[stream].stat().st_size for shard in shards)
                for index, shard in enumerate(shards):
                    target = template.sharded_filepath(shard_index=index, num_shards=len(shards))
                    shard.files[stream].replace(target)
                yield tfds.core.SplitInfo(
                    name=template.split,
                    shard_lengths=[len(shard.frames[stream]) for shard in shards],
                    num_bytes=size,
                    filename_template=template,
                )


class _Prepared(NamedTuple):
    """A video whose records are written: for each stream the numbers of their frames, and the file."""

    recording: Recording
    frames: dict[Stream, list[int]]
    files: dict[Stream, Path]


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Makes a folder and keeps other processes out of it until the context, or this process, ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"another process prepares {folder.parent}; wait for it, or end it") from None
        yield


def _read_download(folder: Path, *, background: bool) -> list[Interval]:
    """The intervals.

    Raises: FileNotFoundError naming every missing file; ValueError for a damaged row.
    """
    annotations = folder / ANNOTATIONS
    if not annotations.is_file():
        raise FileNotFoundError(f"{annotations} is missing. {_MANUAL}")
    intervals = [
        interval for interval in read_intervals(annotations) if background or interval.category != BACKGROUND
    ]
    videos = dict.fromkeys(folder / VIDEO.format(interval.video) for interval in intervals)
    missing = [str(path) for path in videos if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"missing: {', '.join(missing)}. {_MANUAL}")
    return intervals
