"""Six streams on a folder of small videos, and what a finished run makes of a video file."""

import importlib.util
import sys
from pathlib import Path

import absl.flags
import experiments_tiny as tiny
import numpy as np
import pytest
from absl import app
from absl.testing import flagsaver
from clip_sources import NoisyClips
from matplotlib.image import imread
from PIL import Image
from video_files import cut_off, moving_texture, plain_frames, write_avi

from geoattn_jax.data.levels import LEVELS
from geoattn_jax.data.video import VideoError, read_video
from geoattn_jax.data.video_cache import cached_windows
from geoattn_jax.data.video_folder import LabelledClip, VideoFolder
from geoattn_jax.experiments import run
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.core.results import read_results
from geoattn_jax.experiments.run import annotate
from geoattn_jax.experiments.table_3 import annotate as annotate_module
from geoattn_jax.experiments.table_3.sources.protocol import ClipSource, FrameNumbers
from geoattn_jax.experiments.table_3.sources.videos import FLOW_BOUND, FLOW_HW, VideoClips
from geoattn_jax.experiments.table_3.sources.with_video import WithVideo
from geoattn_jax.training import WorkdirError

LEVEL = LEVELS["general"]
CLASSES = {"right": (0, 2), "down": (2, 0)}  # how textures move


def config(folder, **overrides):
    chosen = {"levels": ("general",), "models": ("hard_coded",), "data.data_dir": str(folder)}
    return tiny.tiny_config("video_folder", **(chosen | overrides))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four clips a class; of one only the first frames can be read, another file is no video."""
    folder = tmp_path_factory.mktemp("videos")
    for name, step in CLASSES.items():
        for number in range(4):
            frames = moving_texture(step, 4 + number, (48, 68), seed=number)
            write_avi(folder / name / f"{number}.avi", frames)
    cut_off(folder / "right" / "3.avi", 0.8)
    (folder / "down" / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    run.train_and_evaluate(config(folder), workdir)
    return workdir


@pytest.fixture
def video(tmp_path):
    return write_avi(tmp_path / "new.avi", moving_texture((0, 2), 5, (48, 68), seed=9))


def test_a_folder_of_videos_has_all_cells_and_no_number_of_the_papers(finished):
    rows = read_results(finished / "results.json").rows
    assert {(row.protocol, row.condition) for row in rows} == {
        (streams, level)
        for streams in ("spatial", "temporal", "spatial_temporal")
        for level in ("general", "late_fusion")
    }
    assert all(row.paper is None and 0 <= row.mean <= 1 for row in rows)
    assert (finished / "figures" / "confusion_temporal_hard_coded.png").exists()


def test_a_video_is_written_with_its_regions_and_classes(finished, video, monkeypatch):
    drawn = []
    monkeypatch.setattr(annotate_module, "annotated_strip", lambda *arguments: drawn.append(arguments))
    clip, strip = annotate(finished, video, None)
    assert (clip, strip) == (finished / "figures" / "new.mp4", finished / "figures" / "new.png")
    written = read_video(clip)
    assert len(written.frames) == 5
    assert written.fps == read_video(video).fps
    ((path, frames, outlines, lines),) = drawn
    assert path == strip
    np.testing.assert_array_equal(frames, read_video(video).frames)
    assert {line.split()[1] for line in lines[1:]} == {*CLASSES}

    windows = cached_windows(video, finished / "clips", compute_hw=FLOW_HW, level=LEVEL, bound=FLOW_BOUND)
    left = LEVEL.crop_range // 2
    top_left = (windows[:, left] + [0, left]) / LEVEL.frame_hw * [48, 68]
    size = np.array(LEVEL.window_hw) / LEVEL.frame_hw * [48, 68]
    assert list(outlines) == ["general"]
    for corner, (down, right) in enumerate([(0, 0), (0, 1), (1, 1), (1, 0)]):
        expected = top_left + size * [down, right] - 0.5
        # The control looks up to half a pixel of the level aside.
        assert np.abs(outlines["general"][:, corner] - expected).max() < 0.5 * 68 / 49 + 0.1


def test_a_large_video_is_scaled_to_the_page_and_may_become_a_gif(finished, tmp_path):
    large = write_avi(tmp_path / "large.avi", np.repeat(np.repeat(plain_frames(3), 27, 1), 27, 2))
    clip, strip = annotate(finished, large, tmp_path / "out" / "small.gif")
    assert (clip.name, strip.name) == ("small.gif", "small.png")
    with Image.open(clip) as gif:
        assert gif.n_frames == 3
        assert 480 < gif.width < 720
    assert imread(strip).shape[1] > 3 * 192


@pytest.fixture(scope="module")
def eval_py():
    """eval.py as a module, which defines its flags when it is loaded."""
    spec = importlib.util.spec_from_file_location("eval_py", Path(__file__).parents[3] / "eval.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("flags", "called"),
    [
        (["--video=a.mp4"], ("annotate", "run", "a.mp4", None)),
        (["--video=a.mp4", "--out=b.gif"], ("annotate", "run", "a.mp4", "b.gif")),
        ([], ("evaluate", "run")),
    ],
)
def test_eval_py_annotates_or_evaluates(eval_py, monkeypatch, flags, called):
    calls = []
    for name in ("annotate", "evaluate"):
        monkeypatch.setattr(
            eval_py, name, lambda *arguments, name=name: calls.append((name, *arguments)) or []
        )
    monkeypatch.setattr(eval_py, "prepare_process", lambda: None)
    with flagsaver.flagsaver():
        absl.flags.FLAGS(["eval.py", "--workdir=run", *flags])
        eval_py.main(["eval.py"])
    assert calls == [called]


def test_eval_py_says_which_video_cannot_be_used(eval_py, monkeypatch):
    def refuse(*arguments):
        raise VideoError("a.mp4: there is no such file")

    monkeypatch.setattr(eval_py, "annotate", refuse)
    monkeypatch.setattr(eval_py, "prepare_process", lambda: None)
    with flagsaver.flagsaver():
        absl.flags.FLAGS(["eval.py", "--workdir=run", "--video=a.mp4"])
        with pytest.raises(SystemExit, match=r"^eval\.py: a\.mp4: there is no such file$"):
            eval_py.main(["eval.py"])


def test_eval_py_writes_nothing_but_videos(eval_py):
    with flagsaver.flagsaver():
        absl.flags.FLAGS(["eval.py", "--workdir=run", "--out=b.gif"])
        with pytest.raises(app.UsageError, match="give --video too"):
            eval_py.main(["eval.py"])


def test_a_place_that_cannot_be_written_to_is_named(finished, video, tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(ConfigError, match=r"the pictures cannot be written: .*folder"):
        annotate(finished, video, tmp_path / "folder" / "clip.gif")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"", "OpenCV cannot read it"),
        (plain_frames(1), "flow leads from one frame to the next"),
    ],
)
def test_a_video_that_cannot_be_used_is_named(finished, tmp_path, content, said):
    path = tmp_path / "bad.avi"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_avi(path, content)
    with pytest.raises(VideoError, match=rf"bad\.avi: {said}"):
        annotate(finished, path, tmp_path / "out.gif")
    assert not (tmp_path / "out.gif").exists()


@pytest.mark.parametrize("name", ["clip.avi", "new.mp4"])
def test_a_file_that_cannot_be_written_is_refused(finished, tmp_path, name):
    with pytest.raises(
        ConfigError, match=r"--out must end in \.mp4 or \.gif and be another file than --video"
    ):
        annotate(finished, tmp_path / "new.mp4", tmp_path / name)


def test_without_opencv_the_extra_is_named(finished, video, monkeypatch, folder, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"pip install 'geoattn-jax\[video\]'"):
        annotate(finished, video, None)
    with pytest.raises(ConfigError, match=r"pip install 'geoattn-jax\[video\]'"):
        run.train_and_evaluate(config(folder), tmp_path / "run")


def test_another_experiment_is_refused(tmp_path, video):
    (tmp_path / "geoattn_jax.json").write_text('{"format": 1, "config": {"experiment": "two_stage"}}')
    with pytest.raises(ConfigError, match=r"needs a workdir of .* six_streams; .* is of two_stage"):
        annotate(tmp_path, video, None)
    with pytest.raises(WorkdirError, match="no run was started in it"):
        annotate(tmp_path / "empty", video, None)


@pytest.mark.parametrize(
    ("data_dir", "said"),
    [
        (None, "must be a folder that exists, got None"),
        ("nowhere", "must be a folder that exists, got 'nowhere'"),
    ],
)
def test_a_missing_folder_is_named_before_anything_is_written(tmp_path, data_dir, said):
    wrong = config(tmp_path)
    wrong.data.data_dir = data_dir
    with pytest.raises(ConfigError, match=rf"config\.data\.data_dir {said}"):
        run.train_and_evaluate(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_classes_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.data\.data_dir: .* at least two classes, found \[\]"):
        run.train_and_evaluate(config(tmp_path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_source_with_a_video_has_the_runs_training_clips(video, tmp_path):
    noisy = NoisyClips()
    clips = VideoFolder(noisy.class_names, {"test": (LabelledClip(video, 0),)})
    file = VideoClips(clips, tmp_path / "cache", flow_bound=noisy.flow_bound)
    both = WithVideo(noisy, file)
    assert isinstance(both, ClipSource)
    assert (both.class_names, both.class_groups, both.flow_bound) == (
        noisy.class_names,
        noisy.class_groups,
        noisy.flow_bound,
    )
    first, left = np.array([0]), np.array([[0, 3]])
    for split, source in (("train", noisy), ("validation", noisy), ("test", file)):
        np.testing.assert_array_equal(both.labels(split), source.labels(split))
        np.testing.assert_array_equal(both.lengths(split), source.lengths(split))
        frames = FrameNumbers(split, LEVEL, first, first)
        for stream in ("rgb", "flow"):
            for one, other in zip(
                *(clips.read(stream, frames, left) for clips in (both, source)), strict=True
            ):
                np.testing.assert_array_equal(one, other)
