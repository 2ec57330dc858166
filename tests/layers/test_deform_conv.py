"""DeformConv and ConvOffset2D: what they are at the start, where they read, how they are trained."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from variables import normal, normal_init, random_variables

from geoattn_jax import ConvOffset2D, DeformConv
from geoattn_jax.layers import offset_labels

IMAGE = normal(0, 2, 9, 7, 4)
KEY = jax.random.key(0)

SHARED_OPTIONS = {  # of nn.Conv and DeformConv alike
    "no bias": {"use_bias": False},
    "strides": {"strides": (2, 3), "padding": "VALID"},
    "one stride": {"strides": 2},
    "asymmetric padding": {"padding": ((0, 2), (1, 0))},
    "dilation": {"kernel_dilation": (2, 1)},
    "groups": {"feature_group_count": 2},
}
BOTH_LAYERS = pytest.mark.parametrize(
    "layer", [DeformConv(6, (3, 3), modulated=True), ConvOffset2D()], ids=["DeformConv", "ConvOffset2D"]
)


def with_offset_branch(variables, **leaves):
    return {"params": {**variables["params"], "offset": {**variables["params"]["offset"], **leaves}}}


@pytest.mark.parametrize("options", SHARED_OPTIONS.values(), ids=SHARED_OPTIONS)
@pytest.mark.parametrize("modulated", [False, True])
def test_starts_as_the_plain_convolution(options, modulated):
    options = {"kernel_init": normal_init, "bias_init": normal_init, **options}
    layer = DeformConv(6, (3, 2), modulated=modulated, offset_groups=2, **options)
    output, variables = jax.jit(layer.init_with_output)(KEY, IMAGE)
    plain_params = {name: leaf for name, leaf in variables["params"].items() if name != "offset"}
    if modulated:  # the sigmoid of zero halves every tap
        plain_params["kernel"] = plain_params["kernel"] / 2
    expected = nn.Conv(6, (3, 2), **options).apply({"params": plain_params}, IMAGE)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("modulated", "per_tap"), [(False, 2), (True, 3)])
def test_parameter_shapes(modulated, per_tap):
    layer = DeformConv(6, (3, 2), modulated=modulated, offset_groups=2, feature_group_count=2)
    variables = jax.eval_shape(layer.init, KEY, IMAGE)
    branch = 2 * 3 * 2 * per_tap
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "kernel": (3, 2, 2, 6),
        "bias": (6,),
        "offset": {"kernel": (3, 2, 4, branch), "bias": (branch,)},
    }


def test_branch_channels_are_group_tap_and_coordinate():
    layer = DeformConv(6, (1, 2), offset_groups=2, modulated=True, kernel_init=normal_init)
    variables = jax.jit(layer.init)(KEY, IMAGE)
    branch_bias = np.zeros((2, 2, 3))
    branch_bias[0, 1] = 2, -3, 100
    branch_bias[1, 0] = 0, 0, -100
    variables = with_offset_branch(variables, bias=jnp.asarray(branch_bias.reshape(-1), "float32"))
    output = jax.jit(layer.apply)(variables, IMAGE)
    # Tap 1, one pixel to the right of tap 0: group 0 reads it 2 rows below and 3 columns to the left, with
    # full weight. Tap 0: group 1 masks it out. The other two are in place with weight 1/2.
    padded = np.pad(IMAGE, ((0, 0), (0, 2), (2, 1), (0, 0)))
    tap0 = np.concatenate([0.5 * IMAGE[..., :2], 0 * IMAGE[..., 2:]], axis=-1)
    tap1 = np.concatenate([padded[:, 2:11, :7, :2], 0.5 * padded[:, :9, 3:10, 2:]], axis=-1)
    kernel = variables["params"]["kernel"]
    np.testing.assert_allclose(output, tap0 @ kernel[0, 0] + tap1 @ kernel[0, 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modulated", [False, True])
def test_offset_branch_learns_from_the_start(modulated):
    layer = DeformConv(6, (3, 3), modulated=modulated, kernel_init=normal_init)

    @jax.jit
    def start_and_gradient():
        variables = layer.init(KEY, IMAGE)
        return variables, jax.grad(lambda variables: jnp.sum(layer.apply(variables, IMAGE) ** 2))(variables)

    variables, gradient = (one["params"]["offset"] for one in start_and_gradient())
    for name in ("kernel", "bias"):
        assert np.all(np.asarray(variables[name]) == 0)
        assert np.all(np.asarray(gradient[name]) != 0)


@BOTH_LAYERS
def test_moving_the_image_moves_the_output(layer):
    image = jnp.zeros((2, 24, 22, 4)).at[:, 10:14, 9:12].set(normal(0, 2, 4, 3, 4))
    variables = random_variables(layer, image)
    apply = jax.jit(layer.apply)
    still, moved = apply(variables, image), apply(variables, jnp.roll(image, (3, -2), axis=(1, 2)))
    np.testing.assert_allclose(moved, jnp.roll(still, (3, -2), axis=(1, 2)), rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(moved - still).max()) > 0.1


def test_per_channel_offsets_move_each_channel_by_its_own():
    # On a channel of ones the centre tap alone gives the same offsets everywhere.
    image = IMAGE.at[..., 0].set(1.0)
    moves = np.array([[1, 0], [0, -2], [-1, 3], [0.5, 0]], "float32")
    kernel = jnp.zeros((3, 3, 4, 8)).at[1, 1, 0].set(moves.reshape(-1))
    output = jax.jit(ConvOffset2D().apply)({"params": {"offset": {"kernel": kernel}}}, image)
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")

    def moved(dy, dx, channel):
        return padded[:, 3 + dy : 12 + dy, 3 + dx : 10 + dx, channel]

    np.testing.assert_allclose(output[..., 1], moved(0, -2, 1), atol=1e-6)
    np.testing.assert_allclose(output[..., 2], moved(-1, 3, 2), atol=1e-6)
    np.testing.assert_allclose(output[..., 3], (moved(0, 0, 3) + moved(1, 0, 3)) / 2, atol=1e-6)


def test_per_channel_offsets_start_small_and_learn():
    image = normal(0, 2, 9, 7, 20)
    layer = ConvOffset2D()

    @jax.jit
    def start_and_gradient():
        variables = layer.init(KEY, image)
        return variables, jax.grad(lambda variables: jnp.sum(layer.apply(variables, image) ** 2))(variables)

    variables, gradient = start_and_gradient()
    assert jax.tree.map(jnp.shape, variables) == {"params": {"offset": {"kernel": (3, 3, 20, 40)}}}
    assert 0.009 < float(variables["params"]["offset"]["kernel"].std()) < 0.011
    assert np.all(np.asarray(gradient["params"]["offset"]["kernel"]) != 0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(DeformConv(6, (3, 2), offset_groups=2), (2, 9, 7, 2, 6, 2)), (ConvOffset2D(), (2, 9, 7, 4, 2))],
    ids=["DeformConv", "ConvOffset2D"],
)
def test_offsets_can_be_looked_at(layer, shape):
    variables = random_variables(layer, IMAGE)
    assert set(variables) == {"params"}
    _, seen = jax.eval_shape(partial(layer.apply, mutable=["intermediates"]), variables, IMAGE)
    (offsets,) = seen["intermediates"]["offsets"]
    assert offsets.shape == shape


class TwoKinds(nn.Module):
    @nn.compact
    def __call__(self, image):
        image = nn.Conv(4, (3, 3), name="conv1")(image)
        image = ConvOffset2D(name="offset1")(image)
        return DeformConv(3, (3, 3), name="conv2")(image)


def test_offset_labels_give_the_branches_their_own_rate():
    params = random_variables(TwoKinds(), IMAGE)["params"]
    assert offset_labels(params) == {
        "conv1": {"kernel": "rest", "bias": "rest"},
        "offset1": {"offset": {"kernel": "offset"}},
        "conv2": {"kernel": "rest", "bias": "rest", "offset": {"kernel": "offset", "bias": "offset"}},
    }
    optimizer = optax.partition({"offset": optax.sgd(0.1), "rest": optax.sgd(1.0)}, offset_labels)
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params))
    np.testing.assert_allclose(updates["conv2"]["offset"]["kernel"], -0.1)
    np.testing.assert_allclose(updates["conv2"]["kernel"], -1.0)


@pytest.mark.parametrize(
    "layer",
    [DeformConv(6, (3, 3), modulated=True, dtype="bfloat16"), ConvOffset2D()],
    ids=["DeformConv", "ConvOffset2D"],
)
def test_bfloat16_activations_keep_offsets_in_float32(layer):
    image = IMAGE.astype(jnp.bfloat16)
    variables = random_variables(layer, image)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    output, seen = jax.jit(partial(layer.apply, mutable=["intermediates"]))(variables, image)
    assert output.dtype == jnp.bfloat16
    assert seen["intermediates"]["offsets"][0].dtype == jnp.float32
    wide = DeformConv(6, (3, 3), modulated=True) if isinstance(layer, DeformConv) else layer
    expected = jax.jit(wide.apply)(variables, image.astype(jnp.float32))
    np.testing.assert_allclose(output.astype(jnp.float32), expected, atol=0.05)


@pytest.mark.parametrize(
    "layer",
    [DeformConv(6, (3, 3), modulated=True, param_dtype="float64"), ConvOffset2D()],
    ids=["DeformConv", "ConvOffset2D"],
)
def test_float64_stays_float64(x64, layer):
    image = normal(0, 2, 9, 7, 4, dtype="float64")
    output, _ = jax.eval_shape(layer.init_with_output, KEY, image)
    assert output.dtype == jnp.float64


@BOTH_LAYERS
def test_sharded_equals_one_device_with_its_gradient(layer):
    image = normal(0, 8, 9, 7, 4)
    variables = random_variables(layer, image)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(image, NamedSharding(mesh, PartitionSpec("batch")))
    step = jax.jit(jax.value_and_grad(lambda variables, image: jnp.mean(layer.apply(variables, image) ** 2)))
    one, eight = step(variables, image), step(variables, sharded)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, eight)


@BOTH_LAYERS
def test_vmap_over_parameters_equals_a_loop(layer):
    three = [random_variables(layer, IMAGE, seed=seed) for seed in (0, 10, 20)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *three)
    apply = jax.jit(layer.apply)
    outputs = jax.jit(jax.vmap(layer.apply, in_axes=(0, None)))(stacked, IMAGE)
    for output, variables in zip(outputs, three, strict=True):
        np.testing.assert_allclose(output, apply(variables, IMAGE), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": (3, 0)}, r"kernel_size must be two whole numbers .* got \(3, 0\)"),
        ({"offset_groups": 3}, "offset_groups must be positive and divide the 4 input channels, got 3"),
        ({"feature_group_count": 3}, "feature_group_count must be positive and divide the 4 input channels"),
        ({"feature_group_count": 4}, "feature_group_count must be positive and divide the 6 features, got 4"),
        ({"strides": (0, 1)}, r"strides must be two whole numbers .* got \(0, 1\)"),
        ({"kernel_dilation": 0}, r"kernel_dilation must be two whole numbers .* got \(0, 0\)"),
        ({"padding": "CIRCULAR"}, "padding must be"),
    ],
)
def test_bad_options_are_named(unchecked, options, message):
    layer = DeformConv(**{"features": 6, "kernel_size": (3, 3), **options})
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer.init, KEY, IMAGE)


@pytest.mark.parametrize("layer", [DeformConv(features=6, kernel_size=(3, 3)), ConvOffset2D()])
def test_an_image_without_a_batch_axis_is_named(unchecked, layer):
    message = rf"{type(layer).__name__}: image must have axes \(b, h, w, c\), got .* by image\[None\]"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer.init, KEY, IMAGE[0])
