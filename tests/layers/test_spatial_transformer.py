"""SpatialTransformer: starts as the identity, learns, keeps positions in float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from variables import normal, normal_init, random_variables

from geoattn_jax import SpatialTransformer, affine_grid, bilinear_sample, grid_sample

IMAGE = normal(0, 5, 9, 7, 3)
KEY = jax.random.key(0)


class Features(nn.Module):
    """The smallest localizer: four features of the flattened input, in the input's dtype."""

    @nn.compact
    def __call__(self, image, gain: float = 1.0):
        flat = image.reshape(image.shape[0], -1)
        return gain * nn.tanh(nn.Dense(4, dtype=image.dtype, kernel_init=normal_init)(flat))


def with_theta_layer(variables, kernel, bias):
    return {"params": {**variables["params"], "theta": {"kernel": kernel, "bias": jnp.array(bias)}}}


@pytest.mark.parametrize("mode", ["affine", "attention", "translation"])
@pytest.mark.parametrize(("align_corners", "padding_mode"), [(False, "zeros"), (True, "border")])
def test_starts_by_reading_the_image_exactly(mode, align_corners, padding_mode):
    model = SpatialTransformer(Features(), mode=mode, align_corners=align_corners, padding_mode=padding_mode)
    (region, theta), _ = jax.jit(model.init_with_output)(KEY, IMAGE)
    np.testing.assert_array_equal(region, IMAGE)
    np.testing.assert_array_equal(theta, np.tile([[1, 0, 0], [0, 1, 0]], (5, 1, 1)))


@pytest.mark.parametrize(("mode", "outputs"), [("affine", 6), ("attention", 3), ("translation", 2)])
def test_theta_layer_learns_from_the_start(mode, outputs):
    model = SpatialTransformer(Features(), mode=mode)
    variables = jax.jit(model.init)(KEY, IMAGE)

    def loss(variables):
        region, _ = model.apply(variables, IMAGE)
        return jnp.sum((region - normal(1, *IMAGE.shape)) ** 2)

    gradient = jax.jit(jax.grad(loss))(variables)["params"]["theta"]
    assert gradient["kernel"].shape == (4, outputs)
    assert gradient["bias"].shape == (outputs,)
    assert np.all(np.asarray(gradient["kernel"]) != 0)
    assert np.all(np.asarray(gradient["bias"]) != 0)


@pytest.mark.parametrize(
    ("mode", "outputs", "expected"),
    [
        ("affine", [0.5, 0.1, 0.2, -0.3, 0.6, -0.4], [[0.5, 0.1, 0.2], [-0.3, 0.6, -0.4]]),
        ("attention", [0.5, 0.2, -0.4], [[0.5, 0, 0.2], [0, 0.5, -0.4]]),
        ("translation", [0.2, -0.4], [[0.25, 0, 0.2], [0, 0.25, -0.4]]),
    ],
)
def test_modes_build_theta(mode, outputs, expected):
    model = SpatialTransformer(Features(), output_hw=(3, 4), mode=mode, start_scale=0.25)
    variables = with_theta_layer(random_variables(model, IMAGE), jnp.zeros((4, len(outputs))), outputs)
    region, theta = jax.jit(model.apply)(variables, IMAGE)
    np.testing.assert_allclose(theta, np.tile(expected, (5, 1, 1)), rtol=1e-6)
    coords = affine_grid(theta, input_hw=(9, 7), output_hw=(3, 4))
    np.testing.assert_allclose(region, bilinear_sample(IMAGE, coords), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["affine", "attention", "translation"])
def test_start_scale_is_the_middle_of_the_image(mode):
    image = normal(0, 2, 8, 12, 3)
    model = SpatialTransformer(Features(), output_hw=(4, 6), mode=mode, start_scale=0.5)
    (region, _), _ = jax.jit(model.init_with_output)(KEY, image)
    np.testing.assert_array_equal(region, image[:, 2:6, 3:9])


def test_localizer_may_see_another_input_and_take_options():
    image = normal(0, 5, 16, 12, 3)
    small = image[:, ::4, ::4, :1]
    model = SpatialTransformer(Features(), output_hw=(3, 4))
    variables = random_variables(model, image, small)
    params = variables["params"]
    assert params["localizer"]["Dense_0"]["kernel"].shape == (4 * 3, 4)
    region, theta = jax.jit(model.apply)(variables, image, small, gain=0.5)
    features = Features().apply({"params": params["localizer"]}, small, gain=0.5)
    expected = (features @ params["theta"]["kernel"] + params["theta"]["bias"]).reshape(5, 2, 3)
    np.testing.assert_allclose(theta, expected, rtol=1e-5, atol=1e-6)
    # The two halves on their own.
    localized = model.apply(variables, small, gain=0.5, method="localize")
    np.testing.assert_allclose(localized, theta, rtol=1e-5, atol=1e-6)
    sampled = model.apply({}, image, theta, method="sample")
    np.testing.assert_allclose(sampled, region, rtol=1e-5, atol=1e-5)


def test_bfloat16_activations_leave_theta_in_float32():
    image = normal(0, 2, 5, 300, 3)
    narrow = image.astype(jnp.bfloat16)
    model = SpatialTransformer(Features(), mode="translation")
    shift = 2 * 201 / 300  # 201 pixels; the nearest number of bfloat16 is half a pixel away
    variables = with_theta_layer(random_variables(model, narrow), jnp.zeros((4, 2)), [shift, 0.0])
    region, theta = jax.jit(model.apply)(variables, narrow)
    assert region.dtype == jnp.bfloat16
    assert theta.dtype == jnp.float32
    expected = jnp.pad(image[:, :, 201:], ((0, 0), (0, 0), (0, 201), (0, 0)))
    np.testing.assert_allclose(region.astype(jnp.float32), expected, atol=0.02)


def test_float64_stays_float64(x64):
    model = SpatialTransformer(Features())
    (region, theta), _ = jax.eval_shape(model.init_with_output, KEY, normal(0, 5, 9, 7, 3, dtype="float64"))
    assert region.dtype == theta.dtype == jnp.float64


def test_sharded_equals_one_device():
    image = normal(0, 16, 9, 7, 3)
    model = SpatialTransformer(Features(), output_hw=(4, 5))
    variables = random_variables(model, image)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(image, NamedSharding(mesh, PartitionSpec("batch")))
    apply = jax.jit(model.apply)
    for one, eight in zip(apply(variables, image), apply(variables, sharded), strict=True):
        np.testing.assert_allclose(one, eight, rtol=1e-5, atol=1e-5)


def test_vmap_over_parameters_equals_a_loop():
    model = SpatialTransformer(Features())
    three = [random_variables(model, IMAGE, seed=seed) for seed in (0, 10, 20)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *three)
    apply = jax.jit(model.apply)
    regions, thetas = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))(stacked, IMAGE)
    for n, variables in enumerate(three):
        region, theta = apply(variables, IMAGE)
        np.testing.assert_allclose(thetas[n], theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(regions[n], region, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "rotation"}, "mode must be one of 'affine', 'attention', 'translation', got 'rotation'"),
        ({"output_hw": (0, 3)}, r"output_hw must be two whole numbers .* got \(0, 3\)"),
        ({"start_scale": 0.0}, "start_scale must be positive, got 0.0"),
        ({"padding_mode": "reflect"}, "SpatialTransformer: padding_mode must be one of"),
    ],
)
def test_bad_attributes_are_named(unchecked, options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(SpatialTransformer(Features(), **options).init, KEY, IMAGE)


def test_an_image_without_a_batch_axis_is_named(unchecked):
    message = r"SpatialTransformer: image must have axes \(b, h, w, c\), got .* by image\[None\]"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(SpatialTransformer(Features()).init, KEY, IMAGE[0])


def test_a_localizer_without_flat_features_is_named(unchecked):
    model = SpatialTransformer(nn.Conv(2, (3, 3)))
    with pytest.raises(ValueError, match=r"localizer must return features \(b, f\) = \(5, f\), got shape"):
        jax.eval_shape(model.init, KEY, IMAGE)


@pytest.mark.parametrize("mode", ["affine", "attention"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_reflection_is_at_what_minus_one_and_one_stand_for(mode, align_corners):
    model = SpatialTransformer(
        Features(), output_hw=(6, 5), mode=mode, align_corners=align_corners, padding_mode="reflection"
    )
    scale, shift = 1.4, (0.5, -0.3)  # beyond the image on all sides
    outputs = [scale, 0.0, shift[0], 0.0, scale, shift[1]] if mode == "affine" else [scale, *shift]
    variables = with_theta_layer(random_variables(model, IMAGE), jnp.zeros((4, len(outputs))), outputs)
    region, _ = jax.jit(model.apply)(variables, IMAGE)
    y, x = (
        np.linspace(-1, 1, size) if align_corners else (2 * np.arange(size) + 1) / size - 1 for size in (6, 5)
    )
    grid = scale * np.stack(np.meshgrid(x, y), axis=-1) + shift
    expected = grid_sample(
        IMAGE, jnp.asarray([grid] * 5, jnp.float32), padding_mode="reflection", align_corners=align_corners
    )
    np.testing.assert_allclose(region, expected, rtol=0, atol=1e-5)


def test_hessian_of_a_loss(x64):
    """By forward mode over reverse mode, against differences of gradients; theta reads between the pixels."""
    image, target = (jnp.asarray(normal(seed, 1, 9, 7, 2), jnp.float64) for seed in (0, 1))
    theta = jnp.array([[0.61, 0.13, 0.07], [-0.09, 0.72, -0.05]])

    @jax.jit
    def loss(theta):
        coords = affine_grid(theta[None], input_hw=(9, 7), output_hw=(5, 4))
        return jnp.sum((bilinear_sample(image, coords) - target[:, :5, :4]) ** 2)

    hessian = jax.hessian(loss)(theta).reshape(6, 6)
    step, gradient = 1e-6, jax.grad(loss)
    for row, direction in zip(hessian, jnp.eye(6).reshape(6, 2, 3), strict=True):
        along = (gradient(theta + step * direction) - gradient(theta - step * direction)) / (2 * step)
        np.testing.assert_allclose(row, along.ravel(), rtol=1e-6, atol=1e-6)
