"""Moving digits: purity, what each protocol shares between train and test, and how digits move."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.data.digits import SPLITS, DigitPool
from geoattn_jax.data.moving_digits import (
    CONDITIONS,
    MAX_ANGLE,
    PROTOCOLS,
    SCALE_RANGE,
    MovingDigits,
    Scene,
    draw_scenes,
    render,
    render_videos,
)

FRAME = 18  # pixels, as in `pool`
SHORT = {"frame_size": FRAME, "settings": 3, "frames_per_setting": 2}


def videos(condition="rotation_scaling", protocol="new_motion", split="train", **options):
    return MovingDigits(condition, protocol, split, **{**SHORT, **options})


def test_a_video_depends_on_seed_and_index_alone(pool):
    video = videos("elastic", protocol="new_digits")
    whole = render_videos(video, pool, 5, jnp.arange(9))
    for indices in ([4], [8, 2, 5, 0]):
        part = render_videos(video, pool, 5, jnp.array(indices))
        assert np.array_equal(part.frames, whole.frames[np.array(indices)])
        assert np.array_equal(part.labels, whole.labels[np.array(indices)])
    other = render_videos(video, pool, 6, jnp.arange(9))
    assert not np.array_equal(other.frames, whole.frames)


def test_a_training_step_that_renders_gets_the_same_videos(pool):
    video = videos()
    whole = render_videos(video, pool, 5, jnp.arange(8)).frames
    assert whole.shape == (8, video.num_frames, FRAME, FRAME, 1) == (8, 6, 18, 18, 1)
    assert whole.dtype == jnp.float32
    assert whole.min() >= 0
    assert 0.5 < whole.max() <= 1

    @jax.jit
    def step(seed, step):
        return step + 1, 2 * render_videos(video, pool, seed, step * 4 + jnp.arange(4)).frames

    assert np.array_equal(step(jnp.int32(5), jnp.int32(1))[1], 2 * whole[4:])


@pytest.mark.usefixtures("lightly_compiled")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_epoch_has_each_class_once_in_another_order(pool, protocol):
    video = videos(protocol=protocol)
    count = 55 if protocol == "new_digits" else 100
    labels = np.asarray(draw_scenes(video, pool, 0, jnp.arange(2 * count)).labels).reshape(2, count)
    assert np.array_equal(np.sort(labels), [range(count), range(count)])
    assert not np.array_equal(labels[0], labels[1])


@pytest.mark.usefixtures("lightly_compiled")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_class_shows_the_digits_in_its_name(pool, protocol):
    video = videos(protocol=protocol)
    scene = draw_scenes(video, pool, 0, jnp.arange(2 * len(video.classes)))
    assert len(video.class_names) == len(set(video.class_names)) == len(video.classes)
    label_of = {image.tobytes(): int(label) for image, label in zip(*map(np.asarray, pool[:2]), strict=True)}
    for digits, label in zip(np.asarray(scene.digits), np.asarray(scene.labels), strict=True):
        assert video.class_names[label] == "".join(str(label_of[digit.tobytes()]) for digit in digits)


def test_new_digits_has_unordered_classes():
    assert all(first <= second for first, second in videos(protocol="new_digits").classes)


def test_interleaved_splits_are_the_even_and_the_odd_frames_of_one_trajectory(pool):
    train, test = (videos("rotation_scaling", "interleaved", split) for split in ("train", "test"))
    first, second = (draw_scenes(video, pool, 0, jnp.arange(7)) for video in (train, test))
    for shared in ("labels", "digits", "angle", "scale"):
        assert np.array_equal(getattr(first, shared), getattr(second, shared)), shared
    path = np.stack([first.centre, second.centre], axis=-2).reshape(7, 2, -1, 2)
    assert np.all(steps_between(path) <= speed(1) + 1e-4)
    assert np.median(steps_between(path)) == pytest.approx(speed(1), rel=1e-4)


def test_same_frames_trains_and_tests_on_the_training_frames_of_interleaved(pool):
    same, strict = (
        [draw_scenes(videos("elastic", protocol, split), pool, 0, jnp.arange(7)) for split in SPLITS]
        for protocol in ("same_frames", "interleaved")
    )
    for split in same:
        assert jax.tree.all(jax.tree.map(np.array_equal, split, strict[0]))
    assert not np.any(np.asarray(same[1].centre) == np.asarray(strict[1].centre))


@pytest.mark.usefixtures("lightly_compiled")
def test_new_motion_shares_digit_images_but_no_trajectory_nor_setting(pool):
    scenes = [draw_scenes(videos(split=split), pool, 0, jnp.arange(200)) for split in ("train", "test")]
    order = [np.argsort(scene.labels) for scene in scenes]
    first, second = (
        jax.tree.map(lambda value, o=o: np.asarray(value)[o], scene)
        for scene, o in zip(scenes, order, strict=True)
    )
    assert np.array_equal(first.digits, second.digits)
    for drawn in ("centre", "angle", "scale"):
        assert not np.any(getattr(first, drawn) == getattr(second, drawn)), drawn


@pytest.mark.usefixtures("lightly_compiled")
def test_new_digits_test_videos_show_images_never_trained_on(pool, unseen_pool):
    train, test = (videos(protocol="new_digits", split=split) for split in ("train", "test"))
    assert (train.digits_split, test.digits_split) == ("train", "test")
    trained_on = {image.tobytes() for image in np.asarray(pool.images)}
    shown = np.asarray(draw_scenes(test, unseen_pool, 0, jnp.arange(110)).digits)
    assert not any(image.tobytes() in trained_on for image in shown.reshape(-1, *shown.shape[2:]))


@pytest.mark.parametrize("protocol", ["same_frames", "interleaved", "new_motion"])
def test_other_protocols_test_on_the_digits_of_training(protocol):
    assert videos(protocol=protocol, split="test").digits_split == "train"


@pytest.mark.usefixtures("lightly_compiled")
def test_new_digits_videos_of_a_class_differ_in_their_digit_images(pool):
    scene = draw_scenes(videos(protocol="new_digits"), pool, 0, jnp.arange(110))
    labels, digits = np.asarray(scene.labels), np.asarray(scene.digits)
    twins = [digits[labels == label] for label in range(55)]
    assert sum(np.array_equal(*twin) for twin in twins) == 0


def test_conditions_turn_and_scale_as_they_say(pool):
    for condition in CONDITIONS:
        scene = draw_scenes(videos(condition), pool, 0, jnp.arange(7))
        turns = condition in ("rotation", "rotation_scaling", "elastic")
        scales = condition in ("scaling", "rotation_scaling", "elastic")
        assert (scene.field is not None) == (condition == "elastic")
        angle, scale = np.asarray(scene.angle), np.asarray(scene.scale)
        # A setting is one entry, so angle and scale cannot change within it; they do from one to the next.
        for value, changes in ((angle, turns), (scale, scales)):
            assert np.all((np.diff(value) != 0) == changes)
            assert np.all((value[:, 0] != value[:, 1]) == changes)
        if turns:
            assert 0.85 * MAX_ANGLE < np.abs(angle).max() <= MAX_ANGLE
        if scales:
            assert SCALE_RANGE[0] <= scale.min() < 0.7
            assert 1.3 < scale.max() <= SCALE_RANGE[1]


def speed(frames, frame_size=FRAME):
    return 3.6 * frame_size / 64 * frames


def steps_between(path):
    """Distances between successive positions, pixels."""
    return np.linalg.norm(np.diff(np.asarray(path), axis=2), axis=-1)


@pytest.mark.usefixtures("lightly_compiled")
def test_digits_bounce_inside_the_frame_at_constant_speed():
    frame_size, digit = 64, 28
    pool = DigitPool(jnp.zeros((10, digit, digit)), jnp.arange(10), jnp.arange(10), jnp.ones(10, jnp.int32))
    video = videos("normal", frame_size=frame_size, frames_per_setting=50)
    path = np.asarray(draw_scenes(video, pool, 0, jnp.arange(30)).centre).reshape(30, 2, 150, 2)
    edge = (digit - 1) / 2
    assert path.min() >= edge - 1e-4
    assert path.max() <= frame_size - 1 - edge + 1e-4
    assert path.min() < edge + 0.5
    assert path.max() > frame_size - 1 - edge - 0.5
    steps = steps_between(path)
    assert np.all(steps <= speed(1, frame_size) + 1e-4)
    # All but the steps that contain a bounce.
    assert np.mean(np.isclose(steps, speed(1, frame_size), rtol=1e-3)) > 0.7


def test_a_clip_with_a_stride_shows_frames_of_the_usual_video(pool):
    usual = draw_scenes(videos(), pool, 0, jnp.arange(7))
    clip = draw_scenes(videos(frames_per_setting=1, stride=2), pool, 0, jnp.arange(7))
    assert np.array_equal(clip.centre, usual.centre[:, :, :, :1])
    assert np.array_equal(clip.angle, usual.angle)
    assert np.array_equal(clip.digits, usual.digits)


def dot_scene(y, x, *, centre=(15.0, 15.0), angle=0.0, scale=1.0, field=None):
    """A video of one frame whose first digit is a dot at (y, x) of a 9x9 image, and whose second is blank."""
    digits = jnp.zeros((1, 2, 9, 9)).at[0, 0, y, x].set(1.0)
    return Scene(
        labels=jnp.zeros(1, jnp.int32),
        digits=digits,
        centre=jnp.full((1, 2, 1, 1, 2), jnp.array(centre)),
        angle=jnp.full((1, 2, 1), angle),
        scale=jnp.full((1, 2, 1), scale),
        field=field,
    )


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        (dot_scene(4, 7), (15, 18)),
        (dot_scene(4, 7, centre=(12.0, 20.0)), (12, 23)),
        (dot_scene(4, 7, angle=np.pi / 2), (12, 15)),  # counter-clockwise: from the right to the top
        (dot_scene(2, 4, angle=np.pi / 2), (15, 13)),  # and from the top to the left
        (dot_scene(4, 7, scale=2.0), (15, 21)),
        (dot_scene(4, 7, field=jnp.full((1, 1, 31, 31, 2), jnp.array([3.0, -2.0]))), (12, 20)),
    ],
)
def test_a_dot_appears_where_the_scene_puts_it(scene, expected):
    frame = np.asarray(render(scene, 31))[0, 0, :, :, 0]
    assert np.unravel_index(frame.argmax(), frame.shape) == expected
    assert frame.max() == pytest.approx(1, abs=1e-5)


def test_where_digits_overlap_the_brighter_one_shows(pool):
    scene = draw_scenes(videos(), pool, 0, jnp.arange(7))
    alone = [render(scene._replace(digits=scene.digits.at[:, digit].set(0)), FRAME) for digit in range(2)]
    assert np.array_equal(render(scene, FRAME), np.maximum(*alone))


def test_the_elastic_field_bends_the_frames_of_rotation_and_scaling(pool):
    bent = draw_scenes(videos("elastic"), pool, 0, jnp.arange(7))
    straight = draw_scenes(videos("rotation_scaling"), pool, 0, jnp.arange(7))
    assert jax.tree.all(jax.tree.map(np.array_equal, bent._replace(field=None), straight))
    assert bent.field.shape == (7, 3, FRAME, FRAME, 2)
    assert not np.any(np.asarray(bent.field[:, 0] == bent.field[:, 1]))
    assert not np.array_equal(render(bent, FRAME), render(straight, FRAME))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"condition": "shear"}, "condition must be one of 'normal', 'rotation'.*got 'shear'"),
        (
            {"protocol": "old_digits"},
            "protocol must be one of 'same_frames'.*got 'old_digits'",
        ),
        ({"split": "valid"}, "split must be one of 'train', 'test', got 'valid'"),
        ({"frame_size": 7}, "frame_size must be at least 8, got 7"),
        ({"settings": 0}, "settings must be at least 1, got 0"),
        ({"frames_per_setting": 0}, "frames_per_setting must be at least 1, got 0"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(videos(), **change)


@pytest.mark.usefixtures("unchecked")
def test_a_pool_for_another_frame_is_refused(pool):
    with pytest.raises(ValueError, match=r"pool must hold digits of 28 pixels .*got 8.*frame_size=64"):
        render_videos(videos(frame_size=64), pool, 0, jnp.arange(2))
