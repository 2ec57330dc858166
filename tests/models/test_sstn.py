"""SSTN: each part does what the paper's figure says, at all three levels; starts; no copy of the crop."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import normal, random_variables

from geoattn_jax import affine_grid, bilinear_sample, crop_theta
from geoattn_jax.layers import max_pool
from geoattn_jax.models.small import SMALL, SMALL_WIDE
from geoattn_jax.models.sstn import SSTN

KEY = jax.random.key(0)
FRAMES = normal(0, 3, 38, 47, 2)
TOP_LEFT = jnp.array([[0, 0], [6, 7], [3, 4]])
LEVELS = {"detail": (32, 40), "middle": (16, 20), "general": (12, 15)}  # I_crop for regions of 8 x 10 pixels


class Features(nn.Module):
    """The smallest localizer."""

    @nn.compact
    def __call__(self, images, *, train):
        return nn.tanh(nn.Dense(4)(images.reshape(images.shape[0], -1)))


class Classes(Features):
    """The smallest recognizer; tells by its output whether it trains."""

    def __call__(self, images, *, train):
        return super().__call__(images, train=train) + float(train)

    def features(self, images):
        return 2 * self(images, train=False)


def small_sstn(level="detail", **options):
    sizes = {"crop_hw": LEVELS[level], "region_hw": (8, 10)}
    return SSTN(Features(), Classes(), **sizes | options)


def crops(height, width):
    pairs = zip(FRAMES, TOP_LEFT, strict=True)
    return jnp.stack([frame[y : y + height, x : x + width] for frame, (y, x) in pairs])


@pytest.mark.parametrize("level", LEVELS)
def test_is_the_papers_figure(level):
    crop_hw, model = LEVELS[level], small_sstn(level)
    variables = random_variables(model, FRAMES, TOP_LEFT, train=False)
    params = variables["params"]
    assert set(params) == {"localizer", "transformer", "recognizer"}
    logits, theta = jax.jit(partial(model.apply, train=False))(variables, FRAMES, TOP_LEFT)

    whole = jnp.tile(jnp.eye(2, 3), (3, 1, 1))
    small = {
        "detail": lambda crop: max_pool(crop, 4),
        "middle": lambda crop: max_pool(crop, 2),
        "general": lambda crop: bilinear_sample(
            crop, affine_grid(whole, input_hw=crop_hw, output_hw=(8, 10))
        ),
    }[level](crops(*crop_hw))
    np.testing.assert_allclose(model.apply({}, FRAMES, TOP_LEFT, method="downscale"), small, rtol=1e-6)
    features = Features().apply({"params": params["localizer"]}, small, train=False)
    layer = params["transformer"]["theta"]
    expected_theta = (features @ layer["kernel"] + layer["bias"]).reshape(3, 2, 3)
    np.testing.assert_allclose(theta, expected_theta, rtol=1e-4, atol=1e-5)

    coords = affine_grid(expected_theta, input_hw=crop_hw, output_hw=(8, 10))
    regions = bilinear_sample(crops(*crop_hw), coords)
    attended = model.apply({}, FRAMES, TOP_LEFT, theta, method="attend")
    np.testing.assert_allclose(attended, regions, rtol=1e-3, atol=1e-4)
    expected = Classes().apply({"params": params["recognizer"]}, regions, train=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    found = model.apply(variables, attended, method="features")
    np.testing.assert_allclose(found, 2 * expected, rtol=1e-3, atol=1e-4)


def test_the_hard_coded_region_is_copied_exactly():
    """T(theta_2, I_crop) = R_h, pixel for pixel."""
    window = jnp.array([[0, 0], [24, 30], [5, 17]])
    theta_2 = crop_theta(window.astype(jnp.float32), (8, 10), input_hw=(32, 40))
    regions = small_sstn().apply({}, FRAMES, TOP_LEFT, theta_2, method="attend")
    for n, (y, x) in enumerate(TOP_LEFT + window):
        np.testing.assert_array_equal(regions[n], FRAMES[n, y : y + 8, x : x + 10])


@pytest.mark.parametrize(
    ("start", "mode", "scale"),
    [
        ("centred", "affine", 0.25),
        ("centred", "translation", 0.25),
        ("small", "affine", 0.0),
        ("default", "attention", 0.0),
    ],
)
def test_starts(start, mode, scale):
    layer = jax.jit(partial(small_sstn(mode=mode, start=start).init, train=False))(KEY, FRAMES, TOP_LEFT)
    layer = layer["params"]["transformer"]["theta"]
    expected = {
        "affine": [scale, 0, 0, 0, scale, 0],
        "attention": [scale, 0, 0],
        "translation": [0, 0],
    }[mode]
    np.testing.assert_array_equal(layer["bias"], expected)
    size = {"centred": 0.0, "small": 0.1, "default": 1.0}[start]
    assert 0.5 * size <= np.sqrt(2) * jnp.std(layer["kernel"]) <= 1.7 * size  # four features: sqrt(2 / 4)


def test_a_small_start_is_a_tenth_of_the_default():
    kernels = {}
    for start in ("small", "default"):
        variables = jax.jit(partial(small_sstn(start=start).init, train=False))(KEY, FRAMES, TOP_LEFT)
        kernels[start] = np.asarray(variables["params"]["transformer"]["theta"]["kernel"])
    np.testing.assert_allclose(10 * kernels["small"], kernels["default"], rtol=1e-5)


def test_the_parts_get_the_gradients_that_are_theirs():
    model = small_sstn()
    variables = random_variables(model, FRAMES, TOP_LEFT, train=False)

    @jax.jit
    def gradients(variables):
        def guiding(variables):
            return jnp.sum(jnp.abs(model.apply(variables, FRAMES, TOP_LEFT, train=True, method="localize")))

        def joint(variables):
            return jnp.sum(model.apply(variables, FRAMES, TOP_LEFT, train=True)[0] ** 2)

        return jax.grad(guiding)(variables)["params"], jax.grad(joint)(variables)["params"]

    guided, joint = gradients(variables)
    nonzero = {name: [bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(guided[name])] for name in guided}
    assert all(nonzero["localizer"]) and all(nonzero["transformer"])  # noqa: PT018
    assert not any(nonzero["recognizer"])
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(joint))


def test_train_reaches_both_networks():
    model = SSTN(
        SMALL(None, dropout_rate=0.9),
        SMALL_WIDE(7, dropout_rate=0.9),
        crop_hw=(32, 40),
        region_hw=(8, 10),
    )
    variables = random_variables(model, FRAMES, TOP_LEFT, train=False, scale=0.1)
    train = jax.jit(partial(model.apply, train=True))
    one, other = (train(variables, FRAMES, TOP_LEFT, rngs={"dropout": jax.random.key(n)}) for n in (1, 2))
    assert float(jnp.abs(one[1] - other[1]).max()) > 1e-4
    theta = one[1]
    recognize = jax.jit(partial(model.apply, train=True, method="recognize"))
    regions = model.apply({}, FRAMES, TOP_LEFT, theta, method="attend")
    logits = [recognize(variables, regions, rngs={"dropout": jax.random.key(n)}) for n in (1, 2)]
    assert float(jnp.abs(logits[0] - logits[1]).max()) > 1e-4


def test_no_copy_of_a_detail_level_crop():
    model = SSTN(Features(), Classes(), crop_hw=(896, 896), region_hw=(224, 224))
    frames = jax.ShapeDtypeStruct((2, 896, 1189, 3), jnp.float32)
    top_left = jax.ShapeDtypeStruct((2, 2), jnp.int32)
    variables = jax.eval_shape(partial(model.init, train=False), KEY, frames, top_left)
    compiled = jax.jit(partial(model.apply, train=False)).lower(variables, frames, top_left).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * 896 * 896 * 3 * 4 / 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "zero"}, "SSTN: start must be one of 'default', 'small', 'centred', got 'zero'"),
        ({"crop_hw": (7, 10)}, r"SSTN: region_hw must have the shape of crop_hw=\(7, 10\) .* got \(8, 10\)"),
        ({"region_hw": (8, 9)}, r"SSTN: region_hw must have the shape of crop_hw=\(32, 40\) .* got \(8, 9\)"),
        ({"region_hw": (64, 80)}, "SSTN: region_hw must .* not be larger"),
        ({"crop_hw": 32}, "SSTN: crop_hw must be two whole numbers"),
        ({"mode": "rotation"}, "mode must be one of"),
        ({"crop_hw": (40, 50)}, r"crop_hw must fit into the image .* got \(40, 50\)"),
    ],
)
def test_bad_attributes_are_named(unchecked, options, message):
    model = small_sstn(**options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(model.init, train=False), KEY, FRAMES, TOP_LEFT)
