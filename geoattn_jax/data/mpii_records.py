"""The clips of a prepared MPII Cooking Activities, read by random access; see `mpii_cooking`.

builder = tfds.builder_from_directory(folder / "mpii_cooking/detail/1.0.0")
clips = MpiiRecords.of_subjects(builder, subjects_of("fold_1", "test"))
frames = clips.frames(7, np.arange(clips.lengths[7]))
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, UInt8

from geoattn_jax.data.video import import_opencv

Stream = Literal["rgb", "flow"]

STREAMS = ("rgb", "flow")
JPEG_QUALITY = {"rgb": 90, "flow": 95}  # percent


@dataclasses.dataclass(frozen=True)
class Clip:
    """An annotated interval of a video.

    Attributes:
      subject: the person's number.
      video: the file's name, without `.avi`.
      start, end: the first and the last of its frames that are kept, counted from 1 in the video.
      label: the class.
      first: of its records, in the subject's splits.
      num_frames: how many records it has, one after the other.
    """

    subject: int
    video: str
    start: int
    end: int
    label: int
    first: int
    num_frames: int


@dataclasses.dataclass(frozen=True, eq=False)
class MpiiRecords:
    """Clips whose frames and flows are read from disk when they are asked for.

    Attributes:
      builder: a prepared `MpiiCooking`, or what `tfds.builder_from_directory` makes of its folder.
      clips: which.
    """

    builder: Any
    clips: tuple[Clip, ...]
    _records: dict[tuple[int, Stream], Sequence] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of_subjects(cls, builder: Any, subjects: Sequence[int]) -> "MpiiRecords":
        """All clips of some subjects, in the order of their videos.

        Raises: ValueError if the builder is not prepared or has no clip of them.
        """
        table = (builder.info.metadata or {}).get("clips")
        if table is None:
            raise ValueError(
                f"MpiiRecords: builder must be prepared, but {builder.data_dir} holds no table of clips; "
                f"call download_and_prepare() of an MpiiCooking first"
            )
        clips = tuple(Clip(**row) for row in table if row["subject"] in subjects)
        if not clips:
            raise ValueError(
                f"MpiiRecords: subjects must have clips, got {tuple(subjects)}; there are clips of "
                f"{sorted({row['subject'] for row in table})}"
            )
        return cls(builder, clips)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.builder.info.metadata["class_names"])

    @property
    def flow_bound(self) -> float:
        """What the ends of the encoded flow stand for, pixels of the flow's size."""
        return self.builder.info.metadata["flow_bound"]

    @cached_property
    def labels(self) -> Int[np.ndarray, " n"]:
        """The class of each clip."""
        return np.array([clip.label for clip in self.clips], np.int32)

    @cached_property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """How many frames each clip has."""
        return np.array([clip.num_frames for clip in self.clips], np.int32)

    def frames(self, number: int, times: Int[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w 3"]:
        """Some frames of a clip, RGB.

        Args:
          number: of the clip, from 0.
          times: which frames, from 0 to `lengths[number]` - 1.

        Raises: IndexError for a frame that the clip does not have.
        """
        return self._read(number, times, "rgb", decode_frame)

    def flow(self, number: int, times: Int[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w 2"]:
        """The flow from some frames to the next, (dy, dx), as `flow.encode_flow` encodes it.

        The arguments and errors are those of `frames`. Lossy compression leaves about half a step of noise.
        """
        return self._read(number, times, "flow", decode_flow_picture)

    def _read(
        self, number: int, times: Int[np.ndarray, " t"], stream: Stream, decode: Callable[[bytes], np.ndarray]
    ) -> UInt8[np.ndarray, "t h w c"]:
        clip = self.clips[number]
        if np.any((times < 0) | (times >= clip.num_frames)):
            raise IndexError(
                f"MpiiRecords: times must be from 0 to {clip.num_frames - 1} in clip {number}, got {times}"
            )
        key = clip.subject, stream
        if key not in self._records:
            self._records[key] = self.builder.as_data_source(split=split_name(*key))
        records = self._records[key].__getitems__([clip.first + int(time) for time in times])
        return np.stack([decode(record["jpeg"]) for record in records])


def split_name(subject: int, stream: Stream) -> str:
    """The TFDS split of a subject's frames, or of the flows between them."""
    return f"subject_{subject:02d}_{stream}"


def encode_frame(frame: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A JPEG picture of a frame, RGB."""
    return _encode(frame[..., ::-1], "rgb")


def decode_frame(picture: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Undoes `encode_frame`."""
    cv2 = import_opencv()
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def encode_flow_picture(encoded: UInt8[np.ndarray, "h w 2"]) -> bytes:
    """A grey JPEG picture of an encoded flow: dy above dx."""
    return _encode(np.concatenate([encoded[..., 0], encoded[..., 1]]), "flow")


def decode_flow_picture(picture: bytes) -> UInt8[np.ndarray, "h w 2"]:
    """Undoes `encode_flow_picture`."""
    cv2 = import_opencv()
    grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.stack(np.split(grey, 2), axis=-1)


def _encode(picture: UInt8[np.ndarray, "h w ..."], stream: Stream) -> bytes:
    cv2 = import_opencv()
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY[stream]]
    return cv2.imencode(".jpg", np.ascontiguousarray(picture), quality)[1].tobytes()
