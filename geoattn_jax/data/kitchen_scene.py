"""What a clip of KitchenMini shows, and how it is painted.

Lengths are pixels of the detail level's frames, 128 x 170; positions are (y, x).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

FRAME_HW = (128, 170)
NUM_FRAMES = 10
MIDDLE = (FRAME_HW[1] - 1) / 2

INNER = ("vertical", "horizontal")
OUTER = ("rising", "falling", "checked")
MOTIONS = ("vertical", "horizontal", "round")
CLASS_NAMES = (
    *(f"{inner}_{outer}" for inner in INNER for outer in OUTER),
    *(f"disc_{motion}" for motion in MOTIONS),
    *(f"{bar}_bar_{furniture}" for bar in INNER for furniture in ("fridge", "drawer")),
    "background",
)
CLASS_GROUPS = {
    "texture": tuple(range(6)),
    "motion": tuple(range(6, 9)),
    "context": tuple(range(9, 13)),
    "background": (13,),
}

SWAY = (0.6, 1.9)  # the person's amplitude, (y, x)
SWAY_PERIOD = 5  # frames
HAND_AMPLITUDE = 1.75
HAND_PERIOD = 10 / 3
BOARD_AMPLITUDE = 0.6
MAT_AMPLITUDE = 0.6
NOISE = 0.03  # standard deviation


class Scene(NamedTuple):
    label: Int[Array, ""]
    palette: Float[Array, "k 3"]
    shirt_wave: Float[Array, "2"]
    side: Float[Array, ""]  # 1: the hand is to the right of the person
    fridge_side: Float[Array, ""]
    person: Float[Array, "2"]
    hand: Float[Array, "2"]
    phases: Float[Array, "3"]
    inner_motion: Float[Array, "2 2"]  # sine and cosine amplitude (y, outward)
    outer_motion: Float[Array, "2 2"]
    noise_key: PRNGKeyArray


# Patterns in coordinates (across, outward): two waves each, in cycles per period
_S = np.sqrt(0.5)
_WAVES = {
    "vertical": ((0, 1), (0, 0)),
    "horizontal": ((1, 0), (0, 0)),
    "rising": ((_S, _S), (0, 0)),
    "falling": ((_S, -_S), (0, 0)),
    "checked": ((1, 0), (0, 1)),
}


def _class_waves() -> tuple[np.ndarray, np.ndarray]:
    inner, outer = [], []
    for i in INNER:
        for o in OUTER:
            inner.append(_WAVES[i])
            outer.append(_WAVES[o])
    for _ in MOTIONS:
        inner.append(((0, 0), (0, 0)))
        outer.append(((0, 0), (0, 0)))
    for bar in INNER:
        for _ in range(2):
            inner.append(_WAVES[bar])
            outer.append(_WAVES[bar])
    inner.append(((0, 0), (0, 0)))
    outer.append(((0, 0), (0, 0)))
    return np.array(inner, np.float32), np.array(outer, np.float32)


INNER_WAVES, OUTER_WAVES = _class_waves()
# amplitude of sine and cosine, (y, x), of each class's outer half
_D = ((_S, _S), (0, 0))
MOTION = np.array(
    [_D] * 6 + [((1, 0), (0, 0)), ((0, 1), (0, 0)), ((_S, 0), (0, _S))] + [_D] * 5, np.float32
)

PALETTE = ("wall", "counter", "fridge", "drawer", "line", "skin", "shirt", "shirt2", "light", "dark", "lamp")


def draw_scene(subject_key: PRNGKeyArray, clip_key: PRNGKeyArray, label: Int[Array, ""]) -> Scene:
    tones = jax.random.uniform(subject_key, (24,))
    draw_key, noise_key = jax.random.split(clip_key)
    u = jax.random.uniform(draw_key, (16,))
    side = jnp.where(u[0] < 0.5, -1.0, 1.0)
    context = (label >= 9) & (label < 13)
    drawer = context & ((label - 9) % 2 == 1)
    # In context classes the hand is on the side of the piece of furniture in question.
    fridge_side = jnp.where(context, jnp.where(drawer, -side, side), jnp.where(u[1] < 0.5, -1.0, 1.0))
    x = MIDDLE + jnp.where(context, side * (67.5 - 38), 14 * (2 * u[2] - 1))
    person = jnp.stack([56 + 5 * (2 * u[3] - 1), x])
    hand = jnp.stack([8 + 8 * u[4], 18 + 5 * u[5]])
    brightness = 0.85 + 0.3 * u[6]
    skin = jnp.array([0.45, 0.3, 0.2]) + tones[0] * jnp.array([0.45, 0.42, 0.4])
    shirt = 0.2 + 0.6 * tones[1:4]
    shirt2 = jnp.clip(shirt + jnp.where(shirt.mean() > 0.5, -0.18, 0.18), 0, 1)
    wall = 0.55 + 0.2 * tones[4:7]
    counter = jnp.array([0.5, 0.36, 0.24]) + 0.15 * tones[7]
    fixed = jnp.array(
        [[0.82, 0.86, 0.9], [0.62, 0.44, 0.22], [0.2, 0.2, 0.22]], jnp.float32
    )
    palette = jnp.concatenate(
        [
            jnp.stack([wall, counter]),
            fixed,
            jnp.stack([skin, shirt, shirt2]),
            jnp.array([[0.95, 0.94, 0.9], [0.12, 0.1, 0.14], [0.9, 0.8, 0.3]]),
        ]
    )
    angle = jnp.pi * tones[8]
    shirt_wave = jnp.stack([jnp.sin(angle), jnp.cos(angle)]) / (7 + 4 * tones[9])
    sign = jnp.array([1.0, jnp.where(u[10] < 0.5, -1.0, 1.0)])
    flip = jnp.array([1.0, jnp.where(u[10] < 0.5, -1.0, 1.0)])
    return Scene(
        label=label,
        palette=jnp.clip(palette * brightness, 0, 1),
        shirt_wave=shirt_wave,
        side=side,
        fridge_side=fridge_side,
        person=person,
        hand=hand,
        phases=2 * jnp.pi * u[7:10],
        inner_motion=jnp.asarray(_D, jnp.float32) * sign,
        outer_motion=jnp.asarray(MOTION)[label] * flip,
        noise_key=noise_key,
    )


CARRIED = 0.0


def _positions(scene: Scene, time: Int[Array, ""]):
    turn = 2 * jnp.pi * time.astype(jnp.float32)
    sway = jnp.array(SWAY) * jnp.sin(turn / SWAY_PERIOD + scene.phases[:2])
    angle = turn / HAND_PERIOD + scene.phases[2]
    mirror = jnp.stack([jnp.ones(()), scene.side])

    def swing(motion):
        return (motion[0] * jnp.sin(angle) + motion[1] * jnp.cos(angle)) * mirror

    inner, outer = swing(scene.inner_motion), swing(scene.outer_motion)
    return sway, inner, outer


def _box(y, x, half_y, half_x):
    return jnp.clip(half_y + 0.5 - jnp.abs(y), 0, 1) * jnp.clip(half_x + 0.5 - jnp.abs(x), 0, 1)


def _ellipse(y, x, half_y, half_x):
    r = jnp.square(y / half_y) + jnp.square(x / half_x)
    return jnp.clip(0.5 + (1 - r) * (min(half_y, half_x) / 2), 0, 1)


def _lines(across, outward, wave, period, dark):
    phase = (across * wave[0] + outward * wave[1]) / period
    distance = jnp.abs(phase - jnp.round(phase)) * period
    return jnp.where(jnp.all(wave == 0), 0.0, jnp.clip(dark / 2 + 0.5 - distance, 0, 1))


def _pattern(across, outward, waves, period, dark):
    first, second = (_lines(across, outward, waves[i], period, dark) for i in range(2))
    return first + second - 2 * first * second


def paint(scene: Scene, time: Int[Array, ""]):
    h, w = FRAME_HW
    y = jnp.arange(h, dtype=jnp.float32)[:, None]
    x = jnp.arange(w, dtype=jnp.float32)[None, :]
    sway, inner, outer = _positions(scene, time)
    sway1, inner1, outer1 = _positions(scene, time + 1)
    person = scene.person + sway
    side = scene.side
    tile = scene.person + scene.hand * jnp.stack([jnp.ones(()), side]) + CARRIED * sway
    v_person = sway1 - sway
    v_inner = inner1 - inner
    v_outer = outer1 - outer
    texture_or_motion = scene.label < 9
    has_hand = scene.label < 13
    is_disc = (scene.label >= 6) & (scene.label < 9)
    is_bar = (scene.label >= 9) & (scene.label < 13)
    inner_waves, outer_waves = jnp.asarray(INNER_WAVES)[scene.label], jnp.asarray(OUTER_WAVES)[scene.label]

    layers = []  # front to back: coverage, {colour: share}, velocity

    def half(centre, shift, hw, outer_half, waves, period, dark, disc, velocity, shown, downward=False):
        across, outward = y - centre[0] - shift[0], (x - centre[1] - shift[1]) * side
        if downward:
            across, outward = outward, across
        half_across, half_outward = hw[0] / 2, hw[1] / 2
        middle = half_outward / 2 * (1 if outer_half else -1)
        cover = _box(across, outward - middle, half_across, half_outward / 2) * shown
        darkness = jnp.where(
            is_disc,
            jnp.clip(disc + 0.5 - jnp.sqrt(jnp.square(across) + jnp.square(outward)), 0, 1),
            _pattern(across, outward, waves, period, dark),
        )
        layers.append((cover, {"light": 1 - darkness, "dark": darkness}, velocity))

    zero = jnp.zeros(2)
    period = jnp.where(is_bar, 20.0, 3.0)
    dark = jnp.where(is_bar, 10.0, 1.5)
    hand = tile
    half(hand, HAND_AMPLITUDE * outer, (20, 20), True, outer_waves, period, dark, 6.0, HAND_AMPLITUDE * v_outer + CARRIED * v_person, has_hand)
    half(hand, HAND_AMPLITUDE * inner, (20, 20), False, inner_waves, period, dark, 6.0, HAND_AMPLITUDE * v_inner + CARRIED * v_person, has_hand)
    py, px = y - person[0], x - person[1]
    layers.append((_ellipse(py + 30, px, 8, 8), {"skin": 1.0}, v_person))
    phase = py * scene.shirt_wave[0] + px * side * scene.shirt_wave[1]
    stripe = jnp.clip(0.5 + (jnp.abs(phase - jnp.round(phase)) - 0.25) * 8, 0, 1)
    layers.append((_ellipse(py, px, 24, 15), {"shirt": 1 - stripe, "shirt2": stripe}, v_person))
    layers.append((_ellipse(py - 2, px * side + 21, 5, 9), {"shirt": 1.0}, v_person))
    lamp = y - 6 - sway[0], x - scene.person[1] - sway[1]
    layers.append((_box(*lamp, 4, 12), {"lamp": 1.0}, v_person))
    board = scene.person + jnp.stack([jnp.full((), -24.0), 39 * side])
    half(board, BOARD_AMPLITUDE * outer, (28, 40), True, outer_waves, 6.0, 2.0, 10.0, BOARD_AMPLITUDE * v_outer, texture_or_motion)
    half(board, zero, (28, 40), False, inner_waves, 6.0, 2.0, 10.0, zero, texture_or_motion)
    mat = jnp.stack([jnp.full((), 113.0), scene.person[1]])
    half(mat, MAT_AMPLITUDE * outer, (42, 26), True, outer_waves, 10.4, 2.0, 10.0, MAT_AMPLITUDE * v_outer, texture_or_motion, True)
    half(mat, zero, (42, 26), False, inner_waves, 10.4, 2.0, 10.0, zero, texture_or_motion, True)
    fridge_x = MIDDLE + 67.5 * scene.fridge_side
    drawer_x = MIDDLE - 67.5 * scene.fridge_side
    layers.append((_box(y - 44, x - fridge_x + 10 * scene.fridge_side, 8, 1.5), {"line": 1.0}, zero))
    layers.append((_box(y - 56, x - fridge_x, 40, 15), {"fridge": 1.0}, zero))
    for row in (66, 80):
        layers.append((_box(y - row, x - drawer_x, 1.5, 6), {"line": 1.0}, zero))
    layers.append((_box(y - 76, x - drawer_x, 20, 15), {"drawer": 1.0}, zero))
    layers.append((jnp.clip(y - 95.5, 0, 1) * jnp.ones_like(x), {"counter": 1.0}, zero))
    layers.append((jnp.ones((h, w)), {"wall": 1.0}, zero))

    left = jnp.ones((h, w))
    weights = {name: jnp.zeros((h, w)) for name in PALETTE}
    flow = jnp.zeros((2, h, w))
    taken = jnp.zeros((h, w), bool)
    for cover, shares, velocity in layers:
        for name, share in shares.items():
            weights[name] = weights[name] + left * cover * share
        left = left * (1 - cover)
        seen = (cover >= 0.5) & ~taken
        flow = jnp.where(seen, velocity[:, None, None], flow)
        taken = taken | seen
    planes = jnp.stack([weights[name] for name in PALETTE])
    frame = jnp.einsum("khw,kc->hwc", planes, scene.palette)
    bits = jax.random.bits(jax.random.fold_in(scene.noise_key, time), (h, w))
    channels = jnp.stack([(bits >> shift) & 0x3FF for shift in (0, 10, 20)], axis=-1)
    noise = (channels.astype(jnp.float32) / 1023 - 0.5) * (NOISE * np.sqrt(12))
    frame = jnp.clip(frame + noise, 0, 1)
    position = tile + HAND_AMPLITUDE * inner
    return frame, jnp.moveaxis(flow, 0, -1), jnp.where(has_hand, position, jnp.nan)
