"""The MPII Cooking builder: prepared from a tiny download, and read, without TensorFlow."""

import logging
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets", reason="needs geoattn-jax[tfds]")
pytest.importorskip("array_record", reason="needs geoattn-jax[tfds]")
pytest.importorskip("cv2", reason="needs geoattn-jax[video]")

import tensorflow_datasets as tfds
from mpii_files import FRAME_HW, ROWS, grey_frames, moving_square, write_annotations, write_video
from video_files import cut_off, moving_texture

from geoattn_jax.data import mpii_cooking, mpii_videos
from geoattn_jax.data.flow import decode_flow, stack_flow
from geoattn_jax.data.mpii_cooking import MpiiCooking, MpiiCookingConfig, cooking_config
from geoattn_jax.data.mpii_records import MpiiRecords
from geoattn_jax.data.mpii_videos import Keeping, kept_frames, recordings_of
from geoattn_jax.data.video import VideoError

VIDEO = "s08-d02-cam-002"
KEPT_HW, FLOW_HW = (36, 48), (24, 32)  # three and two quarters of the videos' 48 x 64


@pytest.fixture
def empty(tmp_path):
    """Where a download belongs."""
    return tmp_path / "download"


@pytest.fixture
def download(empty):
    """A download of one video, eight grey frames."""
    write_annotations(empty)
    write_video(empty, VIDEO, grey_frames(8))
    return empty


def prepared(download, *, stride=1, background=True):
    keeping = Keeping(KEPT_HW, FLOW_HW, stride=stride)
    config = MpiiCookingConfig(name="tiny", keeping=keeping, background=background)
    builder = MpiiCooking(config=config, data_dir=download.with_name("prepared"))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=download))
    return builder


def frame_numbers(clips, number):
    """Which of `grey_frames` a clip shows."""
    frames = clips.frames(number, np.arange(clips.lengths[number]))
    assert frames.shape == (clips.lengths[number], *KEPT_HW, 3)
    assert np.ptp(frames.astype(int), axis=(1, 2, 3)).max() <= 4
    return np.round((frames.mean(axis=(1, 2, 3)) - 20) / 10).astype(int).tolist()


def test_clips_are_the_annotated_intervals(download):
    clips = MpiiRecords.of_subjects(prepared(download), [8])
    assert clips.class_names == ("Background activity", "peel", "cut dice")
    # In the order in which they begin; frames are counted from 1 and the last one is inside.
    assert clips.labels.tolist() == [2, 2, 0, 1]
    assert [frame_numbers(clips, number) for number in range(len(clips))] == [
        [1, 2, 3],
        [3, 4, 5],
        [4],
        [5, 6, 7, 8],
    ]


def test_frames_are_read_in_any_order(download):
    clips = MpiiRecords.of_subjects(prepared(download), [8])
    frames = clips.frames(3, np.array([3, 0, 0]))
    np.testing.assert_array_equal(frames, clips.frames(3, np.arange(4))[[3, 0, 0]])


def test_a_record_is_a_frame(download):
    builder = tfds.builder_from_directory(prepared(download).data_dir)
    source = builder.as_data_source(split="subject_08_rgb")
    assert len(source) == len(builder.as_data_source(split="subject_08_flow")) == 8
    assert (source[6]["video"], source[6]["frame"]) == (VIDEO.encode(), 7)
    assert source[6]["jpeg"][:2] == b"\xff\xd8"  # as every JPEG picture begins


def test_without_background_its_frames_are_left_out(download):
    write_annotations(download, ROWS[:3])
    builder = prepared(download, background=False)
    assert len(builder.as_data_source(split="subject_08_rgb")) == 7
    clips = MpiiRecords.of_subjects(builder, [8])
    assert clips.class_names == ("peel", "cut dice")
    assert clips.labels.tolist() == [1, 0]
    assert frame_numbers(clips, 1) == [5, 6, 7, 8]


def test_a_stride_counts_from_the_videos_first_frame(download, caplog):
    with caplog.at_level(logging.WARNING):
        clips = MpiiRecords.of_subjects(prepared(download, stride=3), [8])
    assert [frame_numbers(clips, number) for number in range(len(clips))] == [[1], [4], [4], [7]]
    assert not [record for record in caplog.records if record.name == mpii_videos.__name__]


def test_an_interval_that_the_stride_passes_over_is_left_out(download, caplog):
    write_annotations(download, ["8,s08-d02-cam-002,2,3,7,cut dice", *ROWS[1:]])
    with caplog.at_level(logging.WARNING):
        clips = MpiiRecords.of_subjects(prepared(download, stride=3), [8])
    assert len(clips) == 3
    assert re.search(
        rf"line 1: frames 2 to 3 of {VIDEO}, none of which the stride keeps; left out", caplog.text
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_flow_leads_to_the_next_frame(empty, stride):
    write_annotations(empty, [f"8,{VIDEO},2,5,3,peel"])
    write_video(empty, VIDEO, moving_texture((1, -2), count=6, hw=FRAME_HW))
    clips = MpiiRecords.of_subjects(prepared(empty, stride=stride), [8])
    assert clips.lengths.tolist() == [4 // stride]
    assert clips.clips[0].num_flows == 4
    flow = np.asarray(decode_flow(clips.flow(0, np.arange(4))))
    expected = np.array([1, -2]) * FLOW_HW[0] / FRAME_HW[0]
    # Of frame 5 too, from which the flow leads out of the clip.
    medians = np.median(flow, axis=(1, 2))
    np.testing.assert_allclose(medians, np.broadcast_to(expected, (4, 2)), atol=0.25)


@pytest.mark.parametrize("stride", [1, 3])
def test_flow_is_stacked_around_the_frame(empty, stride):
    write_annotations(empty, [f"8,{VIDEO},1,1,3,peel", f"8,{VIDEO},3,17,3,peel"])
    write_video(empty, VIDEO, moving_square(18, (20, 4), (0, 2)))
    clips = MpiiRecords.of_subjects(prepared(empty, stride=stride), [8])
    flow = clips.flow(1, np.arange(15))
    assert len({picture.tobytes() for picture in flow}) == 15
    first = (1 - 3) % stride  # the first frame of the clip that is kept
    assert clips.lengths[1] == len(range(first, 15, stride))
    for time in range(clips.lengths[1]):
        expected = stack_flow(flow, np.array([first + stride * time]))[0]
        planes = clips.flow_around(1, time)
        np.testing.assert_array_equal(planes.reshape(-1, *planes.shape[2:]), np.moveaxis(expected, -1, 0))


def test_the_last_frames_flow_repeats_the_one_before(empty):
    write_annotations(empty, [f"8,{VIDEO},3,4,3,peel"])
    write_video(empty, VIDEO, moving_texture((1, -2), count=4, hw=FRAME_HW))
    flow = MpiiRecords.of_subjects(prepared(empty), [8]).flow(0, np.arange(2))
    np.testing.assert_array_equal(flow[0], flow[1])


def test_what_lies_beyond_the_videos_end_is_left_out(download, caplog):
    write_annotations(download, [*ROWS[:2], f"8,{VIDEO},7,12,3,peel", f"8,{VIDEO},9,1000000000,7,cut dice"])
    with caplog.at_level(logging.WARNING):
        clips = MpiiRecords.of_subjects(prepared(download), [8])
    assert frame_numbers(clips, 2) == [7, 8]
    assert len(clips) == 3
    assert re.search(r"line 3: frames 7 to 12 of .*, frame 8 is the last; clipped", caplog.text)
    assert re.search(r"line 4: frames 9 to 1000000000 of .*, none of which is there; left out", caplog.text)


def test_a_broken_off_video_keeps_its_first_frames(download, caplog):
    cut_off(download / "videos" / f"{VIDEO}.avi", 0.9)
    with caplog.at_level(logging.WARNING):
        clips = MpiiRecords.of_subjects(prepared(download), [8])
    assert frame_numbers(clips, 0) == [1, 2, 3]
    assert clips.clips[-1].end < 8
    assert re.search(rf"{VIDEO}\.avi breaks off", caplog.text)
    assert re.search(rf"line 3: frames 5 to 8 of {VIDEO}, ", caplog.text)


def test_subjects_have_splits_of_their_own(download):
    rows = [*ROWS, "8,s08-d04-cam-002,1,2,3,peel", "10,s10-d02-cam-002,2,3,7,cut dice"]
    write_annotations(download, rows)
    write_video(download, "s08-d04-cam-002", grey_frames(2, first=100))
    write_video(download, "s10-d02-cam-002", grey_frames(3, first=150))
    builder = prepared(download)
    assert set(builder.info.splits) == {
        f"subject_{s}_{stream}" for s in ("08", "10") for stream in ("rgb", "flow")
    }
    both = builder.as_data_source(split="subject_08_rgb+subject_10_rgb")
    assert [record["frame"] for record in both] == [*range(1, 9), 1, 2, 2, 3]
    clips = MpiiRecords.of_subjects(builder, [8])
    assert [clip.video for clip in clips.clips] == 4 * [VIDEO] + ["s08-d04-cam-002"]
    assert np.abs(clips.frames(4, np.array([1])).astype(int) - 120).max() <= 4
    other = MpiiRecords.of_subjects(builder, [10])
    assert other.labels.tolist() == [2]
    assert np.abs(other.frames(0, np.array([0])).astype(int) - 170).max() <= 4


def test_an_interrupted_preparation_goes_on(download, monkeypatch):
    rows = [*ROWS, "8,s08-d04-cam-002,1,2,3,peel"]
    write_annotations(download, rows)
    broken = write_video(download, "s08-d04-cam-002", grey_frames(2))
    content = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(VideoError, match=re.escape(str(broken))):
        prepared(download)
    broken.write_bytes(content)
    decoded = []

    def watched(path, *arguments):
        decoded.append(path.stem)
        return kept_frames(path, *arguments)

    monkeypatch.setattr(mpii_cooking, "kept_frames", watched)
    clips = MpiiRecords.of_subjects(prepared(download), [8])
    assert decoded == ["s08-d04-cam-002"]
    assert frame_numbers(clips, 3) == [5, 6, 7, 8]
    assert frame_numbers(clips, 4) == [1, 2]
    assert not list(download.with_name("prepared").rglob("unfinished"))


def test_two_processes_do_not_prepare_the_same(download):
    unfinished = download.with_name("prepared") / "mpii_cooking" / "tiny" / "unfinished"
    with mpii_cooking._claimed(unfinished), pytest.raises(OSError, match="another process prepares"):
        prepared(download)
    assert len(MpiiRecords.of_subjects(prepared(download), [8])) == len(ROWS)


def test_few_frames_are_in_memory(monkeypatch):
    alive, most = set(), 0

    def watched(path, **options):
        for number in range(20):
            frame = np.full((*KEPT_HW, 3), number, np.uint8)
            alive.add(number)
            weakref.finalize(frame, alive.discard, number)
            yield frame

    monkeypatch.setattr(mpii_videos, "read_frames", watched)
    intervals = [mpii_cooking.Interval(8, VIDEO, 1, 20, 3, "peel", 1)]
    (recording,) = recordings_of(intervals)
    for kept in kept_frames(Path(VIDEO), recording, Keeping(KEPT_HW, FLOW_HW)):
        assert kept.frame.flat[0] == kept.number - 1
        most = max(most, len(alive))
    assert most <= 3


def test_a_missing_folder_gets_instructions(empty):
    with pytest.raises(AssertionError, match=r"annotations/detectionGroundtruth-1-0\.csv"):
        prepared(empty)


def test_missing_files_are_named(empty):
    (empty / "videos").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"detectionGroundtruth-1-0\.csv is missing. Get the videos"):
        prepared(empty)
    write_annotations(empty)
    with pytest.raises(FileNotFoundError, match=rf"videos/{VIDEO}\.avi. Get the videos"):
        prepared(empty)


def test_a_damaged_row_is_named(download):
    write_annotations(download, [*ROWS, "8,s08"])
    with pytest.raises(ValueError, match=r"detectionGroundtruth-1-0\.csv, line 5"):
        prepared(download)


def test_a_video_of_one_frame_is_named(download):
    write_video(download, VIDEO, grey_frames(1))
    with pytest.raises(VideoError, match=rf"{VIDEO}\.avi: it has one frame"):
        prepared(download)


def test_clips_need_a_prepared_builder(tmp_path):
    builder = MpiiCooking(config="detail", data_dir=tmp_path)
    with pytest.raises(ValueError, match="builder must be prepared"):
        MpiiRecords.of_subjects(builder, [8])


def test_unusable_subjects_and_times_are_refused(download):
    builder = prepared(download)
    with pytest.raises(ValueError, match=r"subjects must have clips, got \(10,\).*\[8\]"):
        MpiiRecords.of_subjects(builder, [10])
    with pytest.raises(IndexError, match="times must be from 0 to 2 in clip 0"):
        MpiiRecords.of_subjects(builder, [8]).frames(0, np.array([0, 3]))


def test_builder_configs_are_named_by_what_they_keep():
    configs = MpiiCooking.builder_configs
    assert set(configs) == {
        f"{size}{end}" for size in ("detail", "middle", "general", "mini") for end in ("", "_activities")
    }
    assert configs["detail"].keeping == Keeping((896, 1189), (448, 594))
    assert configs["general_activities"].keeping == Keeping((256, 340), (256, 340))
    assert not configs["general_activities"].background
    assert cooking_config("middle", background=False) is configs["middle_activities"]
    assert cooking_config("mini", flow_method="farneback").name == "mini_farneback"
    other = cooking_config("mini", stride=4)
    assert (other.name, other.keeping.stride) == ("mini_stride_4", 4)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_size_is_refused():
    with pytest.raises(
        ValueError, match="size must be one of 'detail', 'middle', 'general', 'mini', got 'huge'"
    ):
        cooking_config("huge")


def test_neither_preparing_nor_reading_imports_tensorflow(download):
    builder = prepared(download)
    program = (
        "import sys, numpy as np, tensorflow_datasets as tfds, geoattn_jax.data.mpii_cooking\n"
        "from geoattn_jax.data.mpii_records import MpiiRecords\n"
        f"builder = tfds.builder_from_directory({str(builder.data_dir)!r})\n"
        "assert MpiiRecords.of_subjects(builder, [8]).frames(0, np.array([1])).shape == (1, 36, 48, 3)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
