"""KitchenMini: purity, honest flow and mirrors, and what each level's region shows and hides."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax import bilinear_sample
from geoattn_jax.data.crops import centre_crops, crop
from geoattn_jax.data.kitchen import (
    CLASS_GROUPS,
    CLASS_NAMES,
    NOISE,
    KitchenMini,
    draw_scenes,
    render_clips,
    render_frames,
)
from geoattn_jax.data.kitchen_painting import (
    BOARD,
    MAT,
    PANEL_HW,
    TILE,
    hand_positions,
    paint,
    panel_positions,
)
from geoattn_jax.data.kitchen_scene import FRAME_HW, FRAME_MIDDLE, NUM_FRAMES, Path, sway, swing
from geoattn_jax.data.levels import LEVEL_NAMES, LEVELS
from geoattn_jax.data.regions import best_window, motion_map

TIMES = np.arange(NUM_FRAMES, dtype=np.int32)
SEED = 5
COUNT = 42  # clips: three of each class or so

paint_all = jax.jit(jax.vmap(paint))
paths = jax.jit(
    jax.vmap(
        lambda scene: (sway(scene, TIMES), swing(scene.inner_swing, TIMES), swing(scene.outer_swing, TIMES))
    )
)


def scenes_of(split="train", count=COUNT):
    return draw_scenes(KitchenMini(split), SEED, jnp.arange(count))


def at_times(scenes, *times):
    return jnp.broadcast_to(jnp.array(times, jnp.int32), (len(scenes.label), len(times)))


@pytest.fixture(scope="module")
def clips():
    return render_clips(KitchenMini("train"), SEED, jnp.arange(6))


def test_a_clip_depends_on_seed_and_index_alone(clips):
    kitchen = KitchenMini("train")
    assert clips.frames.shape == (6, 10, 128, 170, 3)
    assert clips.flow.shape == (6, 10, 128, 170, 2)
    assert clips.frames.dtype == clips.flow.dtype == jnp.float32
    assert clips.frames.min() >= 0
    assert 0.5 < clips.frames.max() <= 1

    @jax.jit
    def step(seed, step):  # as a training step renders: seed and indices are traced
        return render_frames(kitchen, seed, step * 2 + jnp.array([1, 0]), jnp.array([[7, 0], [3, 3]]))

    part = step(jnp.int32(SEED), jnp.int32(2))
    for name in ("frames", "flow", "hand", "panel"):
        whole = np.asarray(getattr(clips, name))
        expected = np.stack([whole[5, [7, 0]], whole[4, [3, 3]]])
        np.testing.assert_array_equal(getattr(part, name), expected, err_msg=name)
    np.testing.assert_array_equal(part.labels, clips.labels[jnp.array([5, 4])])
    assert not np.array_equal(step(jnp.int32(SEED + 1), jnp.int32(2)).frames, part.frames)


@pytest.mark.parametrize(("split", "subjects"), [("train", 8), ("validation", 1), ("test", 3)])
def test_every_block_has_each_class_with_each_subject_once(split, subjects):
    kitchen, block = KitchenMini(split), 14 * subjects
    assert kitchen.num_clips == 30 * block
    scenes = scenes_of(split, 2 * block)
    for half in (slice(0, block), slice(block, 2 * block)):
        pairs = set(zip(np.asarray(scenes.label)[half], persons(scenes)[half], strict=True))
        assert len(pairs) == block
    assert not np.array_equal(scenes.label[:block], scenes.label[block:])


def persons(scenes) -> list[bytes]:
    """Who a clip shows: the stripes of the shirt are each subject's own."""
    return [stripes.tobytes() for stripes in np.asarray(scenes.stripes)]


def test_splits_show_other_people():
    seen = [set(persons(scenes_of(split, 112))) for split in ("train", "validation", "test")]
    assert [len(people) for people in seen] == [8, 1, 3]
    assert len(set.union(*seen)) == 12


def test_class_names_and_groups():
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) == 14
    assert [len(CLASS_GROUPS[group]) for group in ("texture", "motion", "context", "background")] == [
        6,
        3,
        4,
        1,
    ]
    assert sorted(sum(CLASS_GROUPS.values(), ())) == list(range(14))
    inner, outer = (
        set(words) for words in zip(*(CLASS_NAMES[label].split("_") for label in range(6)), strict=True)
    )
    mirrored = {"rising": "falling", "falling": "rising"}
    for textures, others in ((inner, outer), (outer, inner)):
        assert not {mirrored.get(texture, texture) for texture in textures} & others


def test_in_context_classes_the_person_stands_at_the_furniture():
    scenes = jax.tree.map(np.asarray, scenes_of(count=112))
    names = np.array(CLASS_NAMES)[scenes.label]
    for furniture, side in (("fridge", scenes.fridge), ("drawer", -scenes.fridge)):
        here = np.char.endswith(names, furniture)
        assert here.any()
        np.testing.assert_array_equal(side[here], scenes.outward[here])
        place = FRAME_MIDDLE + 67.5 * side[here]
        np.testing.assert_allclose(np.abs(place - scenes.person[here, 1]), 38, atol=1e-4)
    elsewhere = ~np.isin(scenes.label, CLASS_GROUPS["context"])
    assert 10 < np.abs(scenes.person[elsewhere, 1] - FRAME_MIDDLE).max() <= 14
    assert abs(np.mean(scenes.fridge[elsewhere] * scenes.outward[elsewhere])) < 0.5


def test_frames_have_noise_of_their_own(clips):
    painted = paint_all(jax.tree.map(lambda value: value[:6], scenes_of()), jnp.broadcast_to(TIMES, (6, 10)))
    clean = np.moveaxis(np.asarray(painted.frames), 2, -1)
    inside = (clean > 0.2) & (clean < 0.8)  # where clipping does not cut the noise
    noise = np.where(inside, np.asarray(clips.frames) - clean, 0)
    assert noise[inside].std() == pytest.approx(NOISE, rel=0.02)
    first, second, other = noise[0, 0], noise[0, 1], noise[1, 0]
    for another in (second, other):
        assert abs(np.corrcoef(first.ravel(), another.ravel())[0, 1]) < 0.05


def test_the_flow_leads_to_the_next_frame():
    """Also from the last frame to the first, which comes after it."""
    scenes = scenes_of()
    frames, flow = paint_all(scenes, jnp.broadcast_to(TIMES, (COUNT, NUM_FRAMES)))
    here = np.moveaxis(np.asarray(frames), 2, -1).reshape(-1, *FRAME_HW, 3)
    after = np.moveaxis(np.roll(np.asarray(frames), -1, axis=1), 2, -1).reshape(-1, *FRAME_HW, 3)
    flow = np.moveaxis(np.asarray(flow), 2, -1).reshape(-1, *FRAME_HW, 2)
    pixels = np.stack(np.meshgrid(*map(np.arange, FRAME_HW), indexing="ij"), axis=-1).astype(np.float32)
    warped = np.asarray(jax.jit(bilinear_sample)(after, pixels + flow))
    moving = np.abs(flow).max(-1) > 0
    assert 0.05 < moving.mean() < 0.15
    followed, unmoved = (np.abs(image - here)[moving].mean() for image in (warped, after))
    assert followed < 0.5 * unmoved  # what interpolation blurs, and what comes into view, remains
    np.testing.assert_array_less(np.abs(after - here)[~moving & ~np.roll(moving, 0)].mean(), 0.01)


def test_hand_and_panels_are_where_they_are_painted(clips):
    kitchen = KitchenMini("train")
    shows_hand = ~np.isin(clips.labels, CLASS_GROUPS["background"])
    assert np.array_equal(np.isfinite(clips.hand).all((1, 2)), shows_hand)
    np.testing.assert_array_equal(clips.panel, clips.hand)
    assert kitchen.panel_hw == (20, 20)
    scenes = scenes_of()
    for level, panel in (("detail", TILE), ("middle", BOARD), ("general", MAT)):
        with_panel, plain = CLASS_NAMES.index("vertical_rising"), CLASS_NAMES.index("background")
        painted, bare = (
            np.asarray(paint_all(relabelled(scenes, label), at_times(scenes, 0)).frames)[:, 0].min(1)
            for label in (with_panel, plain)
        )
        centre = np.asarray(
            jax.vmap(partial(panel_positions, level=level))(relabelled(scenes, 0), at_times(scenes, 0))
        )
        height, width = PANEL_HW[level]
        y, x = np.indices(FRAME_HW)
        for image, empty, (cy, cx) in zip(painted, bare, centre[:, 0], strict=True):
            inside = (np.abs(y - cy) < height / 2 - 3) & (np.abs(x - cx) < width / 2 - 3)
            assert (np.abs(image - empty)[inside] > 0.02).mean() > 0.8, (level, panel)


def relabelled(scenes, label):
    """The same scenes with the patterns and panels of another class."""
    return scenes._replace(label=jnp.full_like(scenes.label, label))


def test_a_mirrored_clip_is_a_clip_of_the_same_class():
    scenes = scenes_of()
    sign = jnp.array([1.0, -1.0])

    def across(position):
        return position.at[:, 1].set(FRAME_HW[1] - 1 - position[:, 1])

    def turned(swing):
        return swing._replace(parts=swing.parts * sign, rest=swing.rest * sign)

    mirrored = scenes._replace(
        outward=-scenes.outward, fridge=-scenes.fridge, person=across(scenes.person), hand=across(scenes.hand),
        sway_phase=scenes.sway_phase + jnp.array([0, np.pi], jnp.float32),
        inner_swing=turned(scenes.inner_swing), outer_swing=turned(scenes.outer_swing),
    )  # fmt: skip
    first, second = (paint_all(each, at_times(each, 0, 4)) for each in (scenes, mirrored))
    np.testing.assert_allclose(second.frames, first.frames[..., ::-1], atol=2e-3)
    agree = np.isclose(
        second.flow, first.flow[..., ::-1] * np.array([1, -1], np.float32)[:, None, None], atol=1e-4
    )
    assert agree.mean() > 0.9999  # a pixel may be covered by exactly a half


def test_motion_energy_does_not_depend_on_phase_or_class():
    scenes = scenes_of(count=112)

    def energy(path: Path) -> np.ndarray:
        return np.square(np.asarray(path.velocity)).sum(-1).mean(-1)

    person, inner, outer = map(energy, paths(scenes))
    np.testing.assert_allclose(person, 2.74, atol=0.01)
    for half in (inner, outer):
        np.testing.assert_allclose(TILE.amplitude**2 * half, 4.01, atol=0.01)


@pytest.fixture(scope="module", params=LEVEL_NAMES)
def regions(request):
    """For each clip the window of R_h in the centre crop, (top-left, bottom-right) edges in detail pixels."""
    kitchen, scenes = KitchenMini("train", request.param), scenes_of(count=56)

    def windows(phase):
        shifted = scenes._replace(
            sway_phase=scenes.sway_phase + 2 * phase,
            inner_swing=scenes.inner_swing._replace(phase=scenes.inner_swing.phase + phase),
            outer_swing=scenes.outer_swing._replace(phase=scenes.outer_swing.phase + 3 * phase),
        )
        return level_windows(kitchen.level, shifted)

    return kitchen, scenes, np.stack([windows(phase) for phase in (0.0, 1.1, 2.3)])


@partial(jax.jit, static_argnums=0)
def level_windows(name, scenes):
    level = LEVELS[name]
    scale = jnp.array(level.frame_hw, jnp.float32) / jnp.array(FRAME_HW, jnp.float32)
    flow = paint_all(scenes, jnp.broadcast_to(TIMES, (len(scenes.label), NUM_FRAMES))).flow
    if level.frame_hw != FRAME_HW:
        flow = jax.image.resize(flow, (*flow.shape[:3], *level.frame_hw), "linear", antialias=True)
    motion = motion_map(jnp.moveaxis(flow * scale[:, None, None], 2, -1))
    corner = centre_crops(level, len(motion))
    cropped = crop(motion[..., None], corner, level.crop_hw)[..., 0]
    first = best_window(cropped, level.window_hw) + corner.astype(jnp.float32)
    edges = jnp.stack([first, first + jnp.array(level.window_hw, jnp.float32)], axis=1)
    return edges / scale - 0.5


def share_seen(windows, centre, hw):
    """The part of a rectangle that is inside each window."""
    half = np.array(hw) / 2
    seen = np.minimum(windows[:, 1], centre + half) - np.maximum(windows[:, 0], centre - half)
    return np.prod(np.clip(seen, 0, None), axis=-1) / np.prod(hw)


def test_r_h_shows_the_inner_half_of_the_levels_panel_and_cuts_the_outer(regions):
    kitchen, scenes, (windows, *_) = regions
    has_panel = np.asarray(scenes.label) < 9
    outward = np.stack([0 * scenes.outward, scenes.outward], -1)
    centre = {
        "detail": scenes.hand,
        "middle": panel_at_rest(scenes, "middle"),
        "general": panel_at_rest(scenes, "general"),
    }[kitchen.level]
    direction = np.array([[1.0, 0.0]]) if kitchen.level == "general" else outward
    panel = {"detail": TILE, "middle": BOARD, "general": MAT}[kitchen.level]
    hw = np.array(PANEL_HW[kitchen.level]) / (1 + np.abs(direction[0]))
    inner, outer = (
        share_seen(windows, np.asarray(centre) + sign * panel.along / 4 * direction, hw)[has_panel].mean()
        for sign in (-1, 1)
    )
    assert inner > 0.8
    assert 0.02 < outer < 0.3


def panel_at_rest(scenes, level):
    here = jax.vmap(partial(panel_positions, level=level))(scenes, at_times(scenes, 0))
    return np.asarray(here)[:, 0]


def test_r_h_is_nearly_a_function_of_the_image(regions):
    """The same clip in another phase has nearly the same region."""
    kitchen, scenes, windows = regions
    centres = windows.mean(axis=2)
    spread = centres.std(axis=0, ddof=1)
    assert np.sqrt(np.square(spread).mean(axis=0)).max() < 1.7


def test_r_h_is_on_the_person_away_from_the_hand(regions):
    kitchen, scenes, (windows, *_) = regions
    if kitchen.level != "detail":
        pytest.skip("about the detail level")
    hand, person = np.asarray(scenes.hand), np.asarray(scenes.person)
    centre, shown = windows.mean(1), np.asarray(scenes.label) < 9
    to_hand = np.linalg.norm(centre - hand, axis=-1)[shown]
    assert 15 < to_hand.mean() < 19
    assert (np.linalg.norm(centre - person, axis=-1)[shown] < to_hand).mean() > 0.95
    assert 0.4 < share_seen(windows, hand, (20, 20))[shown].mean() < 0.6


def difference_by_panel(level, pool):
    """How different the textures of one half look on each panel, at a level, after max-pooling."""
    scenes = jax.tree.map(lambda value: value[:14], scenes_of())
    images = []
    for label in CLASS_GROUPS["texture"]:
        frames = paint_all(relabelled(scenes, label), at_times(scenes, 3)).frames[:, 0]
        hw = LEVELS[level].frame_hw
        if hw != FRAME_HW:
            frames = jax.image.resize(frames, (*frames.shape[:2], *hw), "lanczos5", antialias=True)
        h, w = (size // pool for size in hw)
        images.append(
            np.asarray(frames[..., : h * pool, : w * pool]).reshape(14, 3, h, pool, w, pool).max((3, 5))
        )
    scale = np.array(LEVELS[level].frame_hw) / FRAME_HW / pool
    found = {}
    for name in LEVEL_NAMES:
        centre = np.asarray(
            jax.vmap(partial(panel_positions, level=name))(relabelled(scenes, 0), at_times(scenes, 3))
        )
        size = np.array(PANEL_HW[name])
        places = np.indices(images[0].shape[2:])
        masks = np.stack([
            (np.abs((places + 0.5) / scale[:, None, None] - 0.5 - at[:, None, None]) < size[:, None, None] / 2).all(0)
            for at in centre[:, 0]
        ])  # fmt: skip
        outer = [images[a] - images[b] for a, b in ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5))]
        found[name] = np.sqrt(np.mean([np.square(d).mean(1)[masks].mean() for d in outer]))
    return found


def test_each_levels_frames_show_the_textures_of_its_own_panel():
    for finest, level in enumerate(LEVEL_NAMES):
        visible = difference_by_panel(level, 1)
        for place, panel in enumerate(LEVEL_NAMES):
            if place < finest:  # finer than the level
                assert visible[panel] < 0.015, (level, panel)
            if place == finest:
                assert visible[panel] > 0.07, (level, panel)


def test_the_detail_levels_localizer_cannot_read_board_and_mat():
    visible = difference_by_panel("detail", LEVELS["detail"].max_pool)
    assert visible["middle"] < 0.004
    assert visible["general"] < 0.004
    assert visible["detail"] < 0.05


@pytest.mark.parametrize("level", ["middle", "general"])
def test_the_same_clip_looks_the_same_at_every_level(clips, level):
    kitchen = KitchenMini("train", level)
    scaled = render_clips(kitchen, SEED, jnp.arange(6))
    hw = LEVELS[level].frame_hw
    assert scaled.frames.shape == (6, 10, *hw, 3)
    np.testing.assert_array_equal(scaled.labels, clips.labels)
    rough = jax.image.resize(clips.frames[:, 0], (6, *hw, 3), "linear", antialias=True)
    assert np.abs(scaled.frames[:, 0] - rough).mean() < 0.01
    scale = np.array(hw) / FRAME_HW
    np.testing.assert_allclose(scaled.hand, (np.asarray(clips.hand) + 0.5) * scale - 0.5, atol=1e-3)
    expected = np.asarray(clips.flow).mean((2, 3)) * scale  # scaling changes no mean but at the edges
    np.testing.assert_allclose(np.asarray(scaled.flow).mean((2, 3)), expected, atol=2e-3)


def test_motion_alone_is_rendered_without_colours():
    kitchen = KitchenMini("train")
    compiled = jax.jit(lambda indices: motion_map(render_clips(kitchen, 0, indices).flow)).lower(
        jnp.arange(2)
    )
    assert "2,10,2,128,170" in (text := compiled.compile().as_text())
    assert "2,10,3,128,170" not in text


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "valid"}, "KitchenMini: split must be one of 'train', 'validation', 'test', got 'valid'"),
        (
            {"split": "test", "level": "fine"},
            "level must be one of 'detail', 'middle', 'general', got 'fine'",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        KitchenMini(**arguments)


def test_hand_positions_are_between_the_halves():
    scenes = scenes_of()
    _, inner, outer = paths(scenes)
    hand = jax.vmap(hand_positions)(scenes, jnp.broadcast_to(TIMES, (COUNT, NUM_FRAMES)))
    expected = scenes.hand[:, None] + TILE.amplitude * (inner.displacement + outer.displacement) / 2
    shown = np.asarray(scenes.label) != 13
    np.testing.assert_allclose(hand[shown], expected[shown], rtol=1e-5)
