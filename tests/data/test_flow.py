"""Flow: known motions are recovered, the encoding is reversible, the cache survives interruption."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import normal
from video_files import cv2, moving_texture, plain_frames

from geoattn_jax.data.flow import (
    compute_flow,
    decode_flow,
    decode_stack,
    encode_flow,
    iterate_flow,
    resize_flow,
    stack_flow,
)
from geoattn_jax.data.regions import best_window, motion_map

INSIDE = (slice(None), slice(12, -12), slice(12, -12))


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize("step", [(2, 0), (0, -3), (-1, 2)])
def test_a_known_translation_is_recovered(method, step):
    flow = compute_flow(moving_texture(step), method=method)
    assert flow.shape == (4, 48, 68, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[INSIDE], axis=(1, 2)), np.tile(step, (4, 1)), atol=0.1)


def test_the_last_flow_repeats_the_one_before():
    flow = compute_flow(moving_texture((1, 2)))
    np.testing.assert_array_equal(flow[-1], flow[-2])
    assert (flow[0] != flow[1]).any()


def test_frame_by_frame_is_the_same():
    frames = moving_texture((1, 2))
    np.testing.assert_array_equal(list(iterate_flow(iter(frames))), compute_flow(frames))
    assert list(iterate_flow(frames[:1])) == []


@pytest.mark.parametrize("hw", [(24, 17), (72, 136)])
def test_the_flow_of_scaled_frames_is_scaled(hw):
    flow = np.broadcast_to(np.array([2.0, -3.0], np.float32), (48, 68, 2))
    resized = resize_flow(flow, hw)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(
        resized, np.broadcast_to([2 * hw[0] / 48, -3 * hw[1] / 68], (*hw, 2)), rtol=1e-5
    )


def test_the_window_with_the_most_motion_lies_on_what_moves():
    frames = np.repeat(moving_texture((0, 0), seed=1)[:1], 4, axis=0)
    frames[:, 20:36, 40:56] = moving_texture((1, 2), hw=(16, 16))
    motion = motion_map(jnp.asarray(compute_flow(frames))[None])
    ((y, x),) = best_window(motion, (16, 16))
    assert abs(y - 20) <= 4
    assert abs(x - 40) <= 4


def test_encoding_keeps_signs_and_stillness():
    flow = jnp.array([[0, 0], [20, -20], [99, -99], [0.1, -0.1], [10, 5]], jnp.float32)
    encoded = encode_flow(flow)
    assert encoded.dtype == jnp.uint8
    assert encoded.tolist() == [[128, 128], [255, 1], [255, 1], [129, 127], [192, 160]]
    np.testing.assert_array_equal(encode_flow(-flow), 256 - encoded.astype(jnp.int32))


@pytest.mark.parametrize("bound", [20.0, 3.5])
def test_decoding_is_exact_to_half_a_step(bound):
    flow = jnp.asarray(np.random.default_rng(0).uniform(-bound, bound, (3, 5, 7, 2)), jnp.float32)
    decoded = decode_flow(encode_flow(flow, bound=bound), bound=bound)
    assert decoded.dtype == jnp.float32
    np.testing.assert_allclose(decoded, flow, atol=0.501 * bound / 127)


def stacks_one_by_one(encoded, times, length):
    """The channels in the order dy, dx of the first flow, dy, dx of the second, ..."""
    decoded = (encoded.astype(np.float64) - 128) * 20 / 127
    stacks = np.zeros((len(times), *encoded.shape[1:3], 2 * length))
    for row, time in enumerate(times):
        for place in range(length):
            flow = decoded[min(max(time - length // 2 + place, 0), len(encoded) - 1)]
            for component in range(2):
                stacks[row, ..., 2 * place + component] = flow[..., component] - flow[..., component].mean()
    return stacks


@pytest.mark.parametrize("length", [1, 3, 10])
def test_stacks_are_the_flows_around_each_time(length):
    encoded = np.random.default_rng(0).integers(1, 256, (8, 5, 7, 2), np.uint8)
    times = np.array([0, 3, 7])
    stacks = stack_flow(encoded, times, length=length)
    assert stacks.dtype == np.uint8
    decoded = decode_stack(jnp.asarray(stacks))
    assert decoded.dtype == jnp.float32
    np.testing.assert_allclose(decoded, stacks_one_by_one(encoded, times, length), atol=1e-5)


def test_a_stack_of_one_flow_is_that_flow():
    encoded = np.random.default_rng(0).integers(1, 256, (4, 5, 7, 2), np.uint8)
    np.testing.assert_array_equal(stack_flow(encoded, np.arange(4), length=1), encoded)


def test_under_jit_and_vmap():
    flow = jnp.asarray(normal(1, 2, 3, 5, 7, 2), jnp.float32)
    expected = [decode_stack(encode_flow(one)) for one in flow]
    for vmapped in (jax.vmap, lambda function: jax.jit(jax.vmap(function))):
        stacks = vmapped(lambda one: decode_stack(encode_flow(one)))(flow)
        np.testing.assert_allclose(stacks, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "method", "said"),
    [
        (plain_frames(3), "horn_schunck", "method must be one of 'dis', 'farneback', 'tvl1', got 'horn_sch"),
        (plain_frames(1), "dis", r"at least two frames, got shape \(1, 24, 36, 3\)"),
        (
            plain_frames(3) / np.float32(255),
            "dis",
            r"frames must be 8-bit RGB, .* got float32 of .* as frame 0",
        ),
        (plain_frames(3)[..., 0], "dis", r"got uint8 of shape \(24, 36\) as frame 0; repeat grey ones"),
        (plain_frames(3).astype(int), "farneback", r"got int64 of shape \(24, 36, 3\)"),
        (np.repeat(plain_frames(3), 2, -1)[..., :4], "dis", r"got uint8 of shape \(24, 36, 4\)"),
        (
            [*plain_frames(2), *plain_frames(1, (24, 38))],
            "dis",
            r"\(24, 36\) pixels and, as frame 2, \(24, 38\)",
        ),
        ([], "dis", r"at least two frames, got shape \(0,\)"),
        (plain_frames(3, (6, 7)), "dis", r"method 'dis' failed on frames of \(6, 7\) pixels .*larger frames"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(frames, method, said):
    with pytest.raises(ValueError, match=rf"^compute_flow: .*{said}"):
        compute_flow(frames, method=method)
    if len(frames) > 1:
        with pytest.raises(ValueError, match=rf"^iterate_flow: .*{said}"):
            list(iterate_flow(iter(frames), method=method))


def test_tvl1_is_refused_where_the_build_lacks_it(monkeypatch):
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(ImportError, match=r"method 'tvl1' needs .*opencv-contrib-python-headless"):
        compute_flow(plain_frames(2), method="tvl1")


@pytest.mark.skipif(not hasattr(cv2, "optflow"), reason="no contributed modules in OpenCV")
def test_tvl1_recovers_a_translation():
    flow = compute_flow(moving_texture((-1, 2)), method="tvl1")
    np.testing.assert_allclose(np.median(flow[INSIDE], axis=(1, 2)), np.tile([-1, 2], (4, 1)), atol=0.2)
