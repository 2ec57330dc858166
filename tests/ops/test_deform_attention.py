"""deform_attention: values and gradients, against the loops, the reference and torch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from exported import array, check_exported
from inputs import assert_close, compute, cotangent_of, normal, on_device, positions
from jax.test_util import check_grads

import geoattn_jax
from geoattn_jax import deform_attention
from geoattn_jax.ops import platforms, reference

pytestmark = pytest.mark.usefixtures("compiled_quickly")
both_implementations = pytest.mark.parametrize(
    "ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"]
)
LEVEL_SHAPES = ((3, 5), (4, 1), (1, 2))
ATTEND = partial(deform_attention, level_shapes=LEVEL_SHAPES)  # one for all tests, compiled once


def draw(level_shapes=LEVEL_SHAPES) -> dict[str, np.ndarray]:
    """Locations inside of the levels and outside; sizes all different."""
    shape = (2, 7, 3, len(level_shapes), 2)
    random = np.random.default_rng(1)
    return {
        "values": normal(0, 2, sum(h * w for h, w in level_shapes), 3, 5),
        "locations": random.uniform(-0.5, 1.5, size=(*shape, 2)),
        "weights": normal(2, *shape),
    }


@both_implementations
@pytest.mark.parametrize("level_shapes", [LEVEL_SHAPES, ((3, 5),)], ids=["several levels", "one level"])
def test_equals_the_loops(x64, ops, level_shapes):
    arguments = draw(level_shapes)
    attend = jax.jit(partial(ops.deform_attention, level_shapes=level_shapes))
    expected = oracles.deform_attention(**arguments, level_shapes=level_shapes)
    np.testing.assert_allclose(attend(**on_device(arguments)), expected, rtol=0, atol=1e-12)


def test_gradients(x64):
    """First and second order, in both modes; of one level, to compile less."""
    arguments = {
        "values": normal(0, 1, 6, 2, 2),
        "locations": (positions(1, 1, 3, 2, 1, 1, hw=(2, 3)) + 0.5) / (2, 3),
        "weights": normal(2, 1, 3, 2, 1, 1),
    }
    function = jax.jit(lambda arguments: deform_attention(**arguments, level_shapes=((2, 3),)))
    check_grads(function, (on_device(arguments),), order=2)


def test_equals_torch(x64):
    """The paper's Eq. 3 by grid_sample: values and all gradients."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")
    arguments = draw()
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in arguments.items()}
    values, locations, weights = leaves.values()
    (b, queries, heads, _, points), c = weights.shape, values.shape[-1]
    sums, start = 0, 0
    for level, (h, w) in enumerate(LEVEL_SHAPES):
        image = values[:, start : start + h * w].permute(0, 2, 3, 1).reshape(b * heads, c, h, w)
        grid = (2 * locations[:, :, :, level].flip(-1) - 1).transpose(1, 2)
        samples = torch.nn.functional.grid_sample(
            image, grid.reshape(b * heads, queries, points, 2), align_corners=False
        )
        weight = weights[:, :, :, level].transpose(1, 2).reshape(b * heads, 1, queries, points)
        sums = sums + (weight * samples).sum(dim=-1)
        start += h * w
    expected = sums.reshape(b, heads * c, queries).transpose(1, 2)

    output, gradient = compute(ATTEND, on_device(arguments))
    np.testing.assert_allclose(output, expected.detach().numpy(), rtol=0, atol=1e-9)
    torchs = torch.autograd.grad(expected, leaves.values(), torch.tensor(np.array(cotangent_of(output))))
    for name, one in zip(leaves, torchs, strict=True):
        np.testing.assert_allclose(gradient[name], one.numpy(), rtol=0, atol=1e-9, err_msg=name)


def test_the_edges_and_the_centres_of_pixels():
    """A level of two pixels: 0 and 1 are its edges, half a pixel from the nearest centre."""
    values = jnp.array([2.0, 6.0]).reshape(1, 2, 1, 1)
    x = jnp.array([-0.25, 0.0, 0.25, 0.5, 0.75, 1.0])
    locations = jnp.stack([jnp.full_like(x, 0.5), x], axis=-1).reshape(1, 6, 1, 1, 1, 2)
    output = deform_attention(values, locations, jnp.ones((1, 6, 1, 1, 1)), level_shapes=((1, 2),))
    np.testing.assert_array_equal(output[0, :, 0], [0, 1, 2, 4, 6, 3])


def test_heads_read_their_own_channels():
    """And every level is weighed: head 0 reads level 0, head 1 level 1."""
    values = jnp.arange(12.0).reshape(1, 3, 2, 2)  # two levels of one and of two pixels
    weights = jnp.array([[1.0, 0.0], [0.0, 2.0]]).reshape(1, 1, 2, 2, 1)
    locations = jnp.full((1, 1, 2, 2, 1, 2), 0.5)
    output = deform_attention(values, locations, weights, level_shapes=((1, 1), (2, 1)))
    np.testing.assert_array_equal(output[0, 0], [0, 1, 6 + 10, 7 + 11])


def test_parts_equal_the_whole(x64, monkeypatch):
    """Two parts of three queries, and a last one of one."""
    arguments = on_device(draw())
    whole, to_whole = compute(ATTEND, arguments)
    values_of_query = 2 * 3 * len(LEVEL_SHAPES) * 5
    monkeypatch.setattr(platforms, "CPU", platforms.CPU._replace(tap_bytes=8 * values_of_query * 3))
    parts, to_parts = compute(partial(deform_attention, level_shapes=LEVEL_SHAPES), arguments)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-12)
    assert_close(to_parts, to_whole)


def test_samples_are_never_all_in_memory():
    """Of 4096 queries with 16 points: the samples alone would take 32 MiB, their gradients as much."""
    level_shapes = ((8, 8),)
    shapes = (1, 64, 4, 32), (1, 4096, 4, 1, 16, 2), (1, 4096, 4, 1, 16)

    def both(*arrays):
        output, vjp = jax.vjp(partial(deform_attention, level_shapes=level_shapes), *arrays)
        return vjp(output)

    compiled = jax.jit(both).lower(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 32 * 2**20


def test_a_nan_location_spoils_its_own_query_and_head_alone(x64):
    arguments = on_device(draw())
    arguments["locations"] = arguments["locations"].at[0, 1, 2, 0, 1, 0].set(jnp.nan)
    output, gradient = compute(ATTEND, arguments)
    spoiled = np.zeros(output.shape, bool)
    spoiled[0, 1, 10:15] = True
    np.testing.assert_array_equal(np.isnan(output), spoiled)
    for name, one in gradient.items():
        assert jnp.isfinite(one).all(), name
    for name in ("locations", "weights"):
        np.testing.assert_array_equal(gradient[name][0, 1, 2], 0)


@both_implementations
def test_a_weight_of_zero_still_reads(ops):
    """And what is not in a cell is not read, whatever it is."""
    values = jnp.array([jnp.nan, 1.0, 2.0]).reshape(1, 3, 1, 1)
    locations = jnp.array([[0.5, 0.2], [0.5, 5 / 6]]).reshape(1, 2, 1, 1, 1, 2)
    weights = jnp.array([0.0, 1.0]).reshape(1, 2, 1, 1, 1)
    output = ops.deform_attention(values, locations, weights, level_shapes=((1, 3),))
    assert jnp.isnan(output[0, 0, 0])
    np.testing.assert_allclose(output[0, 1, 0], 2.0, rtol=1e-6)


def test_bfloat16_values_beside_float32_locations():
    """Of a level so large that a bfloat16 could not name its pixels."""
    ramp = (jnp.arange(300) % 2).astype(jnp.bfloat16).reshape(1, 300, 1, 1)
    x = (np.arange(1, 299) + 0.75) / 300
    locations = jnp.asarray(np.stack([np.full_like(x, 0.5), x], axis=-1), "float32")
    output = deform_attention(
        ramp, locations.reshape(1, 298, 1, 1, 1, 2), jnp.ones((1, 298, 1, 1, 1)), level_shapes=((1, 300),)
    )
    assert output.dtype == jnp.bfloat16
    expected = np.where(np.arange(1, 299) % 2 == 1, 0.75, 0.25)
    np.testing.assert_allclose(output[0, :, 0].astype(jnp.float32), expected, rtol=0, atol=4e-3)


@both_implementations
def test_exported_with_symbols(ops):
    """For the batch, the queries and the levels' sizes."""

    def arguments(b, n, h, w):
        shape = (b, n, 2, 2, 3)
        within = {"like": lambda random, shape: random.uniform(-0.2, 1.2, size=shape)}
        values = array(0, b, h * w + (h + 1) * 2, 2, 3)
        sizes = array(3, h, w)  # tell the program the levels' sizes
        return values, array(1, *shape, 2, **within), array(2, *shape), sizes

    def function(values, locations, weights, sizes):
        h, w = sizes.shape
        return ops.deform_attention(values, locations, weights, level_shapes=((h, w), (h + 1, 2)))

    check_exported(function, arguments, [(2, 3, 4, 5), (1, 2, 1, 1)], "b, n, h, w")
