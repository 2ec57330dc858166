"""The clips of a prepared MPII Cooking Activities, read by random access; see `mpii_cooking`.

builder = tfds.builder_from_directory(folder / "mpii_cooking/detail/1.0.0")
clips = MpiiRecords.of_subjects(builder, subjects_of("fold_1", "test"))
frames = clips.frames(7, np.arange(clips.lengths[7]))
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from geoattn_jax.data.flow import STACK, FlowMethod, Stream
from geoattn_jax.data.video import import_opencv

JPEG_QUALITY = {"rgb": 90, "flow": 95}  # percent


@dataclasses.dataclass(frozen=True)
class Clip:
    """An annotated interval of a video.

    Attributes:
      subject: the person's number.
      video: the file's name, without `.avi`.
      label: the class.
      start, end: its first and its last frame, counted from 1 in the video.
      first_frame: the record of the first frame that is kept as a picture, in the subject's split.
      num_frames: how many are, one record after the other.
      first_flow: the record of the flow of frame `start`; those of all frames up to `end` follow.
    """

    subject: int
    video: str
    label: int
    start: int
    end: int
    first_frame: int
    num_frames: int
    first_flow: int

    @property
    def num_flows(self) -> int:
        """One for each frame."""
        return self.end - self.start + 1


class MpiiRecords:
    """Clips whose frames and flows are read from disk when they are asked for; files once opened stay open.

    Attributes:
      builder: a prepared `MpiiCooking`, or what `tfds.builder_from_directory` makes of its folder.
      clips: which.
      labels: the class of each.
      lengths: how many frames each has, counting those that are kept as pictures.
    """

    def __init__(self, builder: Any, clips: Sequence[Clip]):
        self.builder, self.clips = builder, tuple(clips)
        self.labels: Int[np.ndarray, " n"] = np.array([clip.label for clip in clips], np.int32)
        self.lengths: Int[np.ndarray, " n"] = np.array([clip.num_frames for clip in clips], np.int32)
        self._opened: dict[tuple[int, Stream], Sequence] = {}

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

    @property
    def flow_method(self) -> FlowMethod:
        """By which the flow was computed; earlier versions, which did not record it, had one."""
        return self.builder.info.metadata.get("flow_method", "dis")

    def frames(self, number: int, times: Int[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w 3"]:
        """Some frames of a clip, RGB.

        Args:
          number: of the clip, from 0.
          times: which frames, from 0 to `lengths[number]` - 1.

        Raises: IndexError for a frame that the clip does not have.
        """
        clip = self.clips[number]
        _check_times(number, times, clip.num_frames)
        return np.stack([decode_frame(jpeg) for jpeg in self._read(clip, "rgb", clip.first_frame + times)])

    def flow(self, number: int, times: Int[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w 2"]:
        """The flow from some frames to the next of the video, (dy, dx), as `flow.encode_flow` encodes it.

        Lossy compression leaves about half a step of noise.

        Args:
          number: of the clip, from 0.
          times: which of all frames of the clip, also those that the stride passes over, from 0 to
            `clips[number].num_flows` - 1.

        Raises: IndexError for a frame that the clip does not have.
        """
        clip = self.clips[number]
        _check_times(number, times, clip.num_flows)
        return np.stack([np.moveaxis(planes, 0, -1) for planes in self._flow_planes(clip, times)])

    def flow_around(self, number: int, time: int) -> UInt8[np.ndarray, "l 2 h w"]:
        """The flows around a frame of a clip that `flow.stack_flow` would stack, as they are kept: in planes.

        Args:
          number: of the clip, from 0.
          time: which frame, from 0 to `lengths[number]` - 1.

        Returns: the planes dy and dx of each flow, encoded; the clip's first and last flow are repeated.
        Raises: IndexError for a frame that the clip does not have.
        """
        clip, stride = self.clips[number], self.builder.info.metadata["stride"]
        _check_times(number, np.array([time]), clip.num_frames)
        centre = (1 - clip.start) % stride + stride * time
        around = np.clip(centre - STACK // 2 + np.arange(STACK), 0, clip.num_flows - 1)
        times, places = np.unique(around, return_inverse=True)  # each is decoded once
        planes = self._flow_planes(clip, times)
        return np.stack([planes[place] for place in places])

    def _flow_planes(self, clip: Clip, times: Int[np.ndarray, " t"]) -> list[UInt8[np.ndarray, "2 h w"]]:
        return [decode_flow_picture(jpeg) for jpeg in self._read(clip, "flow", clip.first_flow + times)]

    def _read(self, clip: Clip, stream: Stream, places: Int[np.ndarray, " t"]) -> list[bytes]:
        """The JPEG pictures in some records."""
        key = clip.subject, stream
        if key not in self._opened:
            self._opened[key] = self.builder.as_data_source(split=split_name(*key))
        return [record["jpeg"] for record in self._opened[key].__getitems__(places.tolist())]


def split_name(subject: int, stream: Stream) -> str:
    """The TFDS split of a subject's frames, or of the flows between them."""
    return f"subject_{subject:02d}_{stream}"


def encode_frame(frame: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A JPEG picture of a frame, RGB."""
    return _encode(frame[..., ::-1], "rgb")


def decode_frame(picture: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Undoes `encode_frame`."""
    cv2 = import_opencv()
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)


def encode_flow_picture(encoded: UInt8[np.ndarray, "h w 2"]) -> bytes:
    """A grey JPEG picture of an encoded flow: dy above dx."""
    return _encode(np.concatenate([encoded[..., 0], encoded[..., 1]]), "flow")


def decode_flow_picture(picture: bytes) -> UInt8[np.ndarray, "2 h w"]:
    """Undoes `encode_flow_picture`, but for the axes: the planes dy and dx."""
    cv2 = import_opencv()
    grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return grey.reshape(2, -1, grey.shape[1])


def _encode(picture: UInt8[np.ndarray, "h w ..."], stream: Stream) -> bytes:
    cv2 = import_opencv()
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY[stream]]
    return cv2.imencode(".jpg", np.ascontiguousarray(picture), quality)[1].tobytes()


def _check_times(number: int, times: Int[np.ndarray, " t"], count: int) -> None:
    if np.any((times < 0) | (times >= count)):
        raise IndexError(f"MpiiRecords: times must be from 0 to {count - 1} in clip {number}, got {times}")
