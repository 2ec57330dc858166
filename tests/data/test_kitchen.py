"""KitchenMini: purity, honest flow and mirrors, and what each level's region shows and hides."""

from functools import cache, partial

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
COUNT = 28  # clips

paint_all = jax.jit(jax.vmap(paint))


@jax.jit
@jax.vmap
def paths(scene):
    times = jnp.asarray(TIMES)
    return sway(scene, times), swing(scene.inner_swing, times), swing(scene.outer_swing, times)


@cache
def many_scenes(split="train"):
    return draw_scenes(KitchenMini(split), SEED, jnp.arange(224))


def scenes_of(count=COUNT):
    return jax.tree.map(lambda value: value[:count], many_scenes())


def painted(scenes):
    """Frames and flow at all times, (clip, time, y, x, ...), of always COUNT clips: it compiles once."""
    return (np.moveaxis(np.asarray(planes), 2, -1) for planes in paint_all(scenes, all_times(scenes)))


def all_times(scenes):
    return jnp.broadcast_to(TIMES, (len(scenes.label), NUM_FRAMES))


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
    scenes = jax.tree.map(lambda value: value[: 2 * block], many_scenes(split))
    for half in (slice(0, block), slice(block, 2 * block)):
        pairs = set(zip(np.asarray(scenes.label)[half], persons(scenes)[half], strict=True))
        assert len(pairs) == block
    assert not np.array_equal(scenes.label[:block], scenes.label[block:])


def persons(scenes) -> list[bytes]:
    """Who a clip shows: the stripes of the shirt are each subject's own."""
    return [stripes.tobytes() for stripes in np.asarray(scenes.stripes)]


def test_splits_show_other_people():
    seen = [set(persons(many_scenes(split))) for split in ("train", "validation", "test")]
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
    scenes = jax.tree.map(np.asarray, many_scenes())
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
    clean = next(painted(scenes_of()))[:6]
    inside = (clean > 0.2) & (clean < 0.8)  # where clipping does not cut the noise
    noise = np.where(inside, np.asarray(clips.frames) - clean, 0)
    assert noise[inside].std() == pytest.approx(NOISE, rel=0.02)
    first, second, other = noise[0, 0], noise[0, 1], noise[1, 0]
    for another in (second, other):
        assert abs(np.corrcoef(first.ravel(), another.ravel())[0, 1]) < 0.05


def test_the_flow_leads_to_the_next_frame():
    """Also from the last frame to the first, which comes after it."""
    scenes = scenes_of()
    frames, flow = painted(scenes)
    here, after = (images.reshape(-1, *FRAME_HW, 3) for images in (frames, np.roll(frames, -1, axis=1)))
    flow = flow.reshape(-1, *FRAME_HW, 2)
    pixels = np.stack(np.meshgrid(*map(np.arange, FRAME_HW), indexing="ij"), axis=-1).astype(np.float32)
    warped = np.asarray(jax.jit(bilinear_sample)(after, pixels + flow))
    moving = np.abs(flow).max(-1) > 0
    assert 0.05 < moving.mean() < 0.15
    followed, unmoved = (np.abs(image - here)[moving].mean() for image in (warped, after))
    assert followed < 0.5 * unmoved  # what interpolation blurs, and what comes into view, remains
    assert np.abs(after - here)[~moving].mean() < 0.01


def test_hand_and_panels_are_where_they_are_painted(clips):
    kitchen = KitchenMini("train")
    shows_hand = ~np.isin(clips.labels, CLASS_GROUPS["background"])
    assert np.array_equal(np.isfinite(clips.hand).all((1, 2)), shows_hand)
    np.testing.assert_array_equal(clips.panel, clips.hand)
    assert kitchen.panel_hw == (20, 20)
    scenes = scenes_of()
    (shown, _), (bare, _) = (
        painted(relabelled(scenes, CLASS_NAMES.index(name))) for name in ("disc_round", "background")
    )
    changed = np.abs(shown - bare)[:, 0].max(-1) > 0.02
    y, x = np.indices(FRAME_HW)
    anywhere = np.zeros_like(changed)
    for level in LEVEL_NAMES:
        (height, width), centres = PANEL_HW[level], panels(scenes, level)[:, 0]
        away = [np.abs(axis - centres[:, i, None, None]) for i, axis in enumerate((y, x))]
        assert changed[(away[0] < height / 2 - 3) & (away[1] < width / 2 - 3)].mean() > 0.95, level
        anywhere |= (away[0] < height / 2 + 3.5) & (away[1] < width / 2 + 3.5)
    assert not changed[~anywhere].any()


def panels(scenes, level):
    """Where the panel of a level would be, whatever the class."""
    shown = relabelled(scenes, 0)
    return np.asarray(jax.vmap(partial(panel_positions, level=level))(shown, all_times(shown)))


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
        outward=-scenes.outward,
        fridge=-scenes.fridge,
        person=across(scenes.person),
        hand=across(scenes.hand),
        sway_phase=scenes.sway_phase + jnp.array([0, np.pi], jnp.float32),
        inner_swing=turned(scenes.inner_swing),
        outer_swing=turned(scenes.outer_swing),
    )
    (frames, flow), (mirrored_frames, mirrored_flow) = painted(scenes), painted(mirrored)
    np.testing.assert_allclose(mirrored_frames, frames[..., ::-1, :], atol=2e-3)
    agree = np.isclose(mirrored_flow, flow[..., ::-1, :] * np.array([1, -1], np.float32), atol=1e-4)
    assert agree.mean() > 0.9999  # a pixel may be covered by exactly a half


def test_motion_energy_does_not_depend_on_phase_or_class():
    scenes = many_scenes()

    def energy(path: Path) -> np.ndarray:
        return np.square(np.asarray(path.velocity)).sum(-1).mean(-1)

    person, inner, outer = map(energy, paths(scenes))
    np.testing.assert_allclose(person, 2.74, atol=0.01)
    for half in (inner, outer):
        np.testing.assert_allclose(TILE.amplitude**2 * half, 4.01, atol=0.01)


@pytest.fixture(scope="module", params=LEVEL_NAMES)
def regions(request):
    """For each clip in three phases R_h's first and last edges (y, x) in the centre crop, detail pixels."""
    scenes = scenes_of()

    def windows(phase):
        inner, outer = scenes.inner_swing, scenes.outer_swing
        shifted = scenes._replace(
            sway_phase=scenes.sway_phase + 2 * phase,
            inner_swing=inner._replace(phase=inner.phase + phase),
            outer_swing=outer._replace(phase=outer.phase + 3 * phase),
        )
        return level_windows(request.param, paint_all(shifted, all_times(shifted)).flow)

    return request.param, scenes, np.stack([windows(phase) for phase in (0.0, 1.1, 2.3)])


@partial(jax.jit, static_argnums=0)
def level_windows(name, flow):
    level = LEVELS[name]
    scale = jnp.array(level.frame_hw, jnp.float32) / jnp.array(FRAME_HW, jnp.float32)
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
    level, scenes, (windows, *_) = regions
    has_panel = np.asarray(scenes.label) < 9
    panel = {"detail": TILE, "middle": BOARD, "general": MAT}[level]
    centre = np.asarray(scenes.hand) if level == "detail" else panels(scenes, level)[:, 0]
    outward = np.stack([0 * scenes.outward, scenes.outward], axis=-1)
    direction, half_hw = (outward, (1, 0.5)) if level != "general" else (np.array([[1.0, 0.0]]), (0.5, 1))
    inner, outer = (
        share_seen(windows, centre + to * panel.along / 4 * direction, np.array(PANEL_HW[level]) * half_hw)
        for to in (-1, 1)
    )
    assert inner[has_panel].mean() > 0.8
    assert 0.02 < outer[has_panel].mean() < 0.3


def test_r_h_is_nearly_a_function_of_the_image(regions):
    """The same clip in another phase has nearly the same region."""
    _, _, windows = regions
    centres = windows.mean(axis=2)
    spread = centres.std(axis=0, ddof=1)
    assert np.sqrt(np.square(spread).mean(axis=0)).max() < 1.7


@pytest.mark.parametrize("regions", ["detail"], indirect=True)
def test_r_h_is_on_the_person_away_from_the_hand(regions):
    _, scenes, (windows, *_) = regions
    hand, person = np.asarray(scenes.hand), np.asarray(scenes.person)
    centre, shown = windows.mean(1), np.asarray(scenes.label) < 9
    to_hand = np.linalg.norm(centre - hand, axis=-1)[shown]
    assert 15 < to_hand.mean() < 19
    assert (np.linalg.norm(centre - person, axis=-1)[shown] < to_hand).mean() > 0.95
    assert 0.4 < share_seen(windows, hand, (20, 20))[shown].mean() < 0.6


@cache
def texture_frames():
    """Every clip's first frame with the textures of each class."""
    frames = [next(painted(relabelled(scenes_of(), label)))[:, 0] for label in CLASS_GROUPS["texture"]]
    return np.stack(frames)


def difference_by_panel(level, pool):
    """How different the outer textures look on each panel, at a level, after max-pooling."""
    frames, hw = texture_frames(), LEVELS[level].frame_hw
    if hw != FRAME_HW:
        frames = np.asarray(jax.image.resize(frames, (6, COUNT, *hw, 3), "lanczos5", antialias=True))
    h, w = (size // pool for size in hw)
    frames = frames[:, :, : h * pool, : w * pool].reshape(6, COUNT, h, pool, w, pool, 3).max((3, 5))
    pairs = ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5))  # of the same inner texture
    differences = np.mean([np.square(frames[a] - frames[b]).mean(-1) for a, b in pairs], axis=0)
    scale = np.array(hw) / FRAME_HW / pool
    y, x = ((place + 0.5) / size - 0.5 for place, size in zip(np.indices((h, w)), scale, strict=True))
    found = {}
    for name in LEVEL_NAMES:
        (height, width), centres = PANEL_HW[name], panels(scenes_of(), name)[:, 0, :, None, None]
        inside = (np.abs(y - centres[:, 0]) < height / 2) & (np.abs(x - centres[:, 1]) < width / 2)
        found[name] = np.sqrt(differences[inside].mean())
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
    assert np.abs(scaled.frames[:, 0] - rough).mean() < 0.02
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
    scenes = many_scenes()
    _, inner, outer = paths(scenes)
    hand = jax.vmap(hand_positions)(scenes, all_times(scenes))
    expected = scenes.hand[:, None] + TILE.amplitude * (inner.displacement + outer.displacement) / 2
    shown = np.asarray(scenes.label) != 13
    np.testing.assert_allclose(hand[shown], expected[shown], rtol=1e-5)
