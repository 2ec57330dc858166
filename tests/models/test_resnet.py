"""ResNet-18: the paper's sizes, the same network in torch, and statistics of batches and of training."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from variables import normal, random_variables

from geoattn_jax.models.resnet import ResNet18

KEY = jax.random.key(0)
IMAGES = (3, 37, 50, 3)


def shapes_of(model, images):
    return jax.eval_shape(partial(model.init, train=False), KEY, images)


def variables_of(model, images):
    """Random ones; running variances are positive."""
    variables = random_variables(model, images, train=False)
    return {
        **variables,
        "batch_stats": jax.tree.map(lambda leaf: 0.5 + jnp.abs(leaf), variables["batch_stats"]),
    }


def test_number_of_parameters():
    variables = shapes_of(ResNet18(), jnp.zeros((1, 224, 224, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 11_689_512
    channels = 64 + 64 * 4 + 128 * 5 + 256 * 5 + 512 * 5
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["batch_stats"])) == 2 * channels


@pytest.mark.parametrize(
    ("stem", "hw", "feature_map"),
    [("imagenet", (224, 224), (7, 7)), ("imagenet", (37, 50), (2, 2)), ("small", (32, 33), (4, 5))],
)
def test_sizes_of_the_feature_map(stem, hw, feature_map):
    model, images = ResNet18(5, stem=stem), jnp.zeros((2, *hw, 4))
    variables = shapes_of(model, images)
    shape = jax.eval_shape(partial(model.apply, method="feature_map"), variables, images).shape
    assert shape == (2, *feature_map, 512)
    for pooled, units in ((True, 512), (False, 512 * feature_map[0] * feature_map[1])):
        localizer = ResNet18(None, stem=stem, global_pool=pooled)
        shape = jax.eval_shape(
            partial(localizer.apply, train=False), shapes_of(localizer, images), images
        ).shape
        assert shape == (2, units)
    assert model.units == 512


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("train", [False, True])
def test_it_is_the_network_in_torch(stem, train):
    functional = pytest.importorskip("torch.nn.functional")
    import torch

    images, model = normal(0, *IMAGES), ResNet18(5, stem=stem, width=0.125)
    variables = variables_of(model, images)
    logits, updated = jax.jit(partial(model.apply, train=train, mutable=["batch_stats"]))(variables, images)

    def tensor(array):
        return torch.from_numpy(np.array(array))

    running = {}

    def normalized_conv(x, *path, stride, suffix):
        params, stats = variables["params"], variables["batch_stats"]
        for part in path:
            params, stats = params[part], stats[part]
        kernel = tensor(params[f"conv{suffix}"]["kernel"]).permute(3, 2, 0, 1)
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        norm, stats = params[f"norm{suffix}"], stats[f"norm{suffix}"]
        mean, var = tensor(stats["mean"]), tensor(stats["var"])
        expected = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        running[*path, f"norm{suffix}"] = [
            0.9 * old + 0.1 * new for old, new in zip((mean, var), expected, strict=True)
        ]
        scale, bias = tensor(norm["scale"]), tensor(norm["bias"])
        return functional.batch_norm(x, mean, var, scale, bias, training=train, eps=1e-5)

    x = normalized_conv(
        tensor(images).permute(0, 3, 1, 2), stride=2 if stem == "imagenet" else 1, suffix="1"
    ).relu()
    if stem == "imagenet":
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for row in range(2, 6):
        for number in (1, 2):
            stride = 2 if row > 2 and number == 1 else 1
            block = f"conv{row}_{number}"
            residual = normalized_conv(x, block, stride=stride, suffix="1").relu()
            residual = normalized_conv(residual, block, stride=1, suffix="2")
            if stride == 2:
                x = normalized_conv(x, block, stride=2, suffix="_shortcut")
            x = (x + residual).relu()
    fc = variables["params"]["fc"]
    expected = x.mean((2, 3)) @ tensor(fc["kernel"]) + tensor(fc["bias"])
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * float(jnp.abs(logits).max()))
    if train:
        for path, (mean, var) in running.items():
            stats = updated["batch_stats"]
            for part in path:
                stats = stats[part]
            np.testing.assert_allclose(stats["mean"], mean, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(stats["var"], var, rtol=1e-3, atol=1e-4)


def test_an_example_does_not_depend_on_the_batch_but_in_training():
    images, model = normal(0, *IMAGES), ResNet18(5, stem="small", width=0.125)
    variables = variables_of(model, images)
    for train, equal in ((False, True), (True, False)):
        apply = jax.jit(partial(model.apply, train=train, mutable=["batch_stats"]))
        (whole, _), (part, _) = apply(variables, images), apply(variables, images[:2])
        assert np.allclose(whole[:2], part, rtol=1e-4, atol=1e-4) == equal


def test_statistics_over_devices_are_those_of_the_whole_batch():
    """Four devices, each with its own share, against one with all."""
    images, whole = normal(0, 8, 12, 10, 3), ResNet18(5, stem="small", width=0.125)
    variables = variables_of(whole, images)
    expected = jax.jit(partial(whole.apply, train=True, mutable=["batch_stats"]))(variables, images)
    shared = whole.clone(axis_name="devices")
    mesh = jax.make_mesh((4,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    split, everywhere = PartitionSpec("devices"), PartitionSpec()
    found = jax.jit(
        jax.shard_map(
            partial(shared.apply, train=True, mutable=["batch_stats"]),
            mesh=mesh,
            in_specs=(everywhere, split),
            out_specs=(split, everywhere),
        )
    )(variables, images)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), found, expected)


def test_training_drops_features():
    images = normal(0, 2, 9, 8, 3)
    model = ResNet18(None, stem="small", width=0.125, dropout_rate=0.5)
    variables = variables_of(model, images)
    apply = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    one, other = (apply(variables, images, rngs={"dropout": jax.random.key(n)})[0] for n in (1, 2))
    assert ((one == 0) != (other == 0)).any()
    whole = apply(variables, images, rngs={"dropout": KEY})[0]
    assert whole.shape == (2, 64)


def test_wrong_arguments_are_named(unchecked):
    with pytest.raises(ValueError, match="ResNet: stem must be one of"):
        shapes_of(ResNet18(5, stem="mini"), jnp.zeros(IMAGES))
    with pytest.raises(ValueError, match="ResNet18: images must"):
        shapes_of(ResNet18(5), jnp.zeros((3, 37, 50)))
