"""What `dtype` and `remat` change of the networks, and what they leave: parameters, thetas, statistics."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from narrow_vgg import NarrowVGG16, NarrowVGGF
from variables import normal, random_variables

from geoattn_jax.models.cnn_lstm import CNNLSTM
from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.frame_cnn import FrameCNN, mean_log_probabilities
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.resnet import ResNet18
from geoattn_jax.models.small import MEDIUM
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.models.stn_lenet import STNLeNet
from geoattn_jax.models.video_classifier import VideoClassifier

TOP_LEFT = jnp.array([[0, 3], [2, 0], [1, 1]])


def sstn(**computation):
    return SSTN(MEDIUM(None, **computation), MEDIUM(7, **computation), crop_hw=(16, 16), region_hw=(8, 8))


def of_crops(model, frames, *, train):
    return model(frames, TOP_LEFT, train=train)


NETWORKS = {  # made with `dtype` and `remat`; the shape of its inputs, options
    "LeNet": (LeNet, (3, 12, 10, 1), {}),
    "STNLeNet": (partial(STNLeNet, output_hw=(10, 9)), (3, 28, 30, 1), {}),
    "DCNLeNet": (DCNLeNet, (3, 12, 10, 1), {}),
    "DeformLeNet": (DeformLeNet, (3, 12, 10, 1), {}),
    "FrameCNN": (partial(FrameCNN, 55), (3, 12, 10, 1), {"train": True}),
    "CNNLSTM": (partial(CNNLSTM, 55), (3, 4, 12, 10, 1), {"train": True}),
    "ResNet18": (partial(ResNet18, 55, stem="small", width=0.125), (3, 12, 10, 3), {"train": True}),
    "VGGF": (partial(NarrowVGGF, 55), (3, 63, 70, 3), {"train": False}),
    "VGG16": (partial(NarrowVGG16, 55), (3, 32, 34, 3), {"train": False}),
    "SSTN": (sstn, (3, 18, 20, 3), {"train": False, "method": of_crops}),
}


def case(name, **computation):
    """A network's variables, and outputs with new state as a function of its parameters."""
    make, shape, options = NETWORKS[name]
    model, inputs = make(**computation), normal(0, *shape)
    scale = 0.1 if name == "VGG16" else 0.05  # with smaller parameters the image would be lost on its way
    variables = random_variables(model, inputs, scale=scale, **options)

    def outputs(params):
        return model.apply({**variables, "params": params}, inputs, mutable=["batch_stats"], **options)

    return variables["params"], outputs


def loss(outputs, params):
    made, state = outputs(params)
    return sum(jnp.mean(jnp.square(one.astype("float32"))) for one in jax.tree.leaves(made)), state


def made_and_gradients(name, **computation):
    """The loss and the new state, and the gradients."""
    params, outputs = case(name, **computation)
    return jax.jit(jax.value_and_grad(partial(loss, outputs), has_aux=True))(params)


def apart(one, other):
    """The distance of two trees, relative to the second."""
    return float(optax.tree.norm(optax.tree.sub(one, other)) / optax.tree.norm(other))


def kept_bytes(name, **computation):
    """What is kept of the forward pass for the gradients."""
    params, outputs = case(name, **computation)
    pullback = jax.eval_shape(lambda params: jax.vjp(lambda p: loss(outputs, p)[0], params)[1], params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pullback))


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_is_of_activations_alone(name):
    params, outputs = case(name, dtype="bfloat16")
    made, state = jax.eval_shape(outputs, params)
    gradient = jax.eval_shape(jax.grad(lambda params: loss(outputs, params)[0]), params)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, state, gradient))} == {jnp.dtype("float32")}
    logits, *rest = made if isinstance(made, tuple) else (made,)
    assert logits.dtype == jnp.bfloat16
    if name == "SSTN":
        assert rest[0].dtype == jnp.float32  # theta


@pytest.mark.parametrize("name", NETWORKS)
def test_rematerialized_networks_keep_less(name):
    assert kept_bytes(name, remat=True) < kept_bytes(name)


@pytest.mark.parametrize("name", ["STNLeNet", "CNNLSTM", "VGG16"])
def test_bfloat16_and_remat_change_little(name):
    """Rematerialized networks have the same gradients and statistics; those of bfloat16 are close."""
    computations = ({}, {"remat": True}, {"remat": True, "dtype": "bfloat16"})
    exact, same, close = (made_and_gradients(name, **computation) for computation in computations)
    assert all(difference < 1e-4 for difference in jax.tree.leaves(jax.tree.map(apart, same, exact)))
    assert apart(close[0][0], exact[0][0]) < 0.03
    assert apart(close[1], exact[1]) < 0.1


@pytest.mark.parametrize("name", ["LeNet", "ResNet18"])
def test_rematerialized_networks_start_alike(name):
    make, shape, options = NETWORKS[name]
    key = jax.random.key(0, impl="rbg")  # compiles faster
    one, other = (
        jax.jit(partial(make(remat=remat).init, **options))(key, jnp.zeros(shape)) for remat in (False, True)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_videos_head_computes_in_its_dtype():
    head = VideoClassifier(LeNet(), dtype="bfloat16")
    features = jax.ShapeDtypeStruct((2, 3, 500), "float32")
    variables = jax.eval_shape(partial(head.init, method="classify"), jax.random.key(0), features)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    logits = jax.eval_shape(partial(head.apply, method="classify"), variables, features)
    assert logits.dtype == jnp.bfloat16


def test_a_mean_over_time_is_made_of_wide_numbers():
    logits = normal(0, 2, 40, 5).astype("bfloat16")
    expected = mean_log_probabilities(logits.astype("float32"))
    np.testing.assert_array_equal(mean_log_probabilities(logits), expected)
