"""DeformAttention: how it starts, where it looks, what it takes; and the authors' formula in torch."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal, random_variables

from geoattn_jax import DeformAttention
from geoattn_jax.layers import deform_attention_params

pytestmark = pytest.mark.usefixtures("compiled_quickly")
KEY = jax.random.key(0)
LEVEL_SHAPES = ((4, 6), (2, 3))
PIXELS = 4 * 6 + 2 * 3
COUNTS = {"num_heads": 3, "num_levels": 2, "num_points": 2}
LAYER = DeformAttention(features=12, **COUNTS)
QUERIES, FEATURES = normal(0, 2, 5, 7), normal(1, 2, PIXELS, 8)
POINTS = jnp.asarray(np.random.default_rng(2).uniform(size=(2, 5, 2, 2)), "float32")
BOXES = jnp.concatenate([POINTS, jnp.full((2, 5, 2, 2), 0.3)], axis=-1)


def looked_at(variables, reference, layer=LAYER):
    """The output, and the sown locations and weights."""
    apply = partial(layer.apply, mutable=["intermediates"], level_shapes=LEVEL_SHAPES)
    output, seen = jax.jit(apply)(variables, QUERIES, reference, FEATURES)
    return output, *(seen["intermediates"][name][0] for name in ("locations", "weights"))


def test_parameter_shapes():
    init = partial(LAYER.init, level_shapes=LEVEL_SHAPES)
    variables = jax.eval_shape(init, KEY, QUERIES, POINTS, FEATURES)
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {
            "sampling_offsets": {"kernel": (7, 24), "bias": (24,)},
            "attention_weights": {"kernel": (7, 12), "bias": (12,)},
            "value_proj": {"kernel": (8, 12), "bias": (12,)},
            "output_proj": {"kernel": (12, 12), "bias": (12,)},
        }
    }


def test_starts_with_a_direction_for_each_head_and_equal_weights():
    layer = DeformAttention(features=8, num_heads=8, num_levels=2, num_points=3)
    variables = layer.init(KEY, QUERIES, POINTS, FEATURES, level_shapes=LEVEL_SHAPES)
    _, locations, weights = looked_at(variables, POINTS, layer)
    np.testing.assert_allclose(weights, 1 / 6, rtol=1e-6)
    # Around the reference point on a square, beginning on the right and, as y points down, going down.
    around = np.array([[0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1], [-1, 0], [-1, 1]])
    for level, point in np.ndindex(2, 3):
        size = jnp.array(LEVEL_SHAPES[level], "float32")
        moved = (locations[:, :, :, level, point] - POINTS[:, :, None, level]) * size
        np.testing.assert_allclose(moved, np.broadcast_to(around * (point + 1), moved.shape), atol=1e-5)
    params = variables["params"]
    for name in ("value_proj", "output_proj"):
        inputs, outputs = params[name]["kernel"].shape
        bound = math.sqrt(6 / (inputs + outputs))
        assert 0.8 * bound < float(jnp.abs(params[name]["kernel"]).max()) <= bound
        np.testing.assert_array_equal(params[name]["bias"], 0)


def test_offsets_from_a_box_are_parts_of_it():
    variables = random_variables(LAYER, QUERIES, POINTS, FEATURES, level_shapes=LEVEL_SHAPES)
    _, from_points, weights = looked_at(variables, POINTS)
    _, from_boxes, _ = looked_at(variables, BOXES)
    pixels = (from_points - POINTS[:, :, None, :, None]) * jnp.array(LEVEL_SHAPES, "float32")[:, None]
    expected = POINTS[:, :, None, :, None] + pixels * 0.3 / 2 / 2
    np.testing.assert_allclose(from_boxes, expected, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=(-2, -1)), 1, rtol=1e-6)


def test_padding_is_read_as_zeros():
    """The projection's bias is not added there, and NaN in padding spoils nothing."""
    variables = random_variables(LAYER, QUERIES, POINTS, FEATURES, level_shapes=LEVEL_SHAPES)
    padding = jnp.asarray(np.arange(PIXELS) % 6 >= 4)[None].repeat(2, axis=0)
    apply = jax.jit(partial(LAYER.apply, level_shapes=LEVEL_SHAPES))
    spoiled = jnp.where(padding[..., None], jnp.nan, FEATURES)
    output = apply(variables, QUERIES, POINTS, spoiled, padding_mask=padding)

    # The same values by a projection that tells padding by a feature of its own.
    inside = (~padding[..., None]).astype(jnp.float32)
    marked = jnp.concatenate([FEATURES * inside, inside], axis=-1)
    projection = variables["params"]["value_proj"]
    kernel = jnp.concatenate([projection["kernel"], projection["bias"][None]])
    value_proj = {"kernel": kernel, "bias": jnp.zeros_like(projection["bias"])}
    changed = {"params": {**variables["params"], "value_proj": value_proj}}
    np.testing.assert_allclose(output, apply(changed, QUERIES, POINTS, marked), rtol=0, atol=1e-5)


@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_equals_the_formula_in_torch_with_weights_carried_over(x64, box):
    torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")
    rng = np.random.default_rng(3)
    sizes = {"sampling_offsets": (24, 7), "attention_weights": (12, 7), "value_proj": (12, 8)}
    linear = {
        name: torch.nn.Linear(inputs, outputs, dtype=torch.float64)
        for name, (outputs, inputs) in {**sizes, "output_proj": (12, 12)}.items()
    }
    module = torch.nn.ModuleDict(linear)
    for parameter in module.parameters():
        parameter.data = torch.tensor(rng.normal(size=tuple(parameter.shape)))
    queries, features = rng.normal(size=(2, 5, 7)), rng.normal(size=(2, PIXELS, 8))
    reference = rng.uniform(size=(2, 5, 2, 4 if box else 2))
    padding = rng.uniform(size=(2, PIXELS)) < 0.2

    with torch.no_grad():
        xy = torch.tensor(reference[..., [1, 0, 3, 2] if box else [1, 0]].copy())[:, :, None, :, None]
        asked = torch.tensor(queries)
        offsets = linear["sampling_offsets"](asked).view(2, 5, 3, 2, 2, 2)
        weights = linear["attention_weights"](asked).view(2, 5, 3, 4).softmax(-1).view(2, 5, 3, 2, 2)
        values = linear["value_proj"](torch.tensor(features))
        values = values.masked_fill(torch.tensor(padding)[..., None], 0.0).view(2, PIXELS, 3, 4)
        if box:
            locations = xy[..., :2] + offsets / 2 * xy[..., 2:] / 2
        else:
            locations = xy + offsets / torch.tensor([[w, h] for h, w in LEVEL_SHAPES])[:, None]
        sums, start = torch.zeros(2, 5, 3, 4, dtype=torch.float64), 0
        for level, (h, w) in enumerate(LEVEL_SHAPES):
            for head in range(3):
                image = values[:, start : start + h * w, head].transpose(1, 2).reshape(2, 4, h, w)
                grid = 2 * locations[:, :, head, level] - 1
                samples = torch.nn.functional.grid_sample(image, grid, align_corners=False)
                sums[:, :, head] += torch.einsum("bcqp,bqp->bqc", samples, weights[:, :, head, level])
            start += h * w
        expected = linear["output_proj"](sums.reshape(2, 5, 12)).numpy()

    params = deform_attention_params(module.state_dict(), **COUNTS)
    apply = jax.jit(partial(LAYER.apply, level_shapes=LEVEL_SHAPES))
    output = apply({"params": params}, queries, reference, features, padding_mask=padding)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-9)


def test_bfloat16_activations_keep_locations_in_float32():
    layer = DeformAttention(features=12, **COUNTS, dtype="bfloat16")
    variables = random_variables(LAYER, QUERIES, POINTS, FEATURES, level_shapes=LEVEL_SHAPES)
    output, locations, weights = looked_at(variables, POINTS, layer)
    assert (output.dtype, locations.dtype, weights.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    expected, *_ = looked_at(variables, POINTS)
    np.testing.assert_allclose(output.astype(jnp.float32), expected, atol=0.05)


def test_arrays_of_sizes_are_taken():
    layer = DeformAttention(12, **COUNTS)
    variables = random_variables(layer, QUERIES, POINTS, FEATURES, level_shapes=LEVEL_SHAPES)
    expected = layer.apply(variables, QUERIES, POINTS, FEATURES, level_shapes=LEVEL_SHAPES)
    listed = layer.apply(variables, QUERIES, POINTS, FEATURES, level_shapes=np.array(LEVEL_SHAPES))
    np.testing.assert_array_equal(listed, expected)


BAD = [
    ({"num_heads": 5}, {}, "num_heads must divide the 12 features, got 5"),
    ({"num_points": 0}, {}, "num_points must be at least 1, got 0"),
    ({"num_levels": 3}, {}, r"level_shapes must have num_levels=3 pairs, got \(\(4, 6\), \(2, 3\)\)"),
    ({}, {"level_shapes": ((4, 6), (2, 2))}, "features must have the 28 pixels of level_shapes .* got 30"),
    ({}, {"reference_points": POINTS[:1]}, r"reference_points must have shape \(2, 5, 2, 2\)"),
    ({}, {"reference_points": BOXES[..., :3]}, r"reference_points must have shape \(2, 5, 2, 2\).* 3\);"),
    ({}, {"features": FEATURES[:1]}, r"features must have shape \(2, 30, 8\)"),
    ({}, {"queries": QUERIES[0]}, r"queries must have axes \(b, queries, f\)"),
    ({}, {"padding_mask": jnp.zeros((2, 29), bool)}, r"padding_mask must be bool of shape \(2, 30\)"),
    ({}, {"padding_mask": jnp.zeros((2, 30))}, r"padding_mask must be bool .* got float32"),
]


@pytest.mark.parametrize(("options", "replaced", "message"), BAD)
def test_what_does_not_fit_is_named(unchecked, options, replaced, message):
    layer = DeformAttention(**{"features": 12, **COUNTS, **options})
    right = {"queries": QUERIES, "reference_points": POINTS, "features": FEATURES}
    with pytest.raises(ValueError, match=f"DeformAttention: {message}"):
        layer.init(KEY, **{**right, "level_shapes": LEVEL_SHAPES, **replaced})
