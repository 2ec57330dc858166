"""Every sampling operation under jit, vmap, scan and checkpoint, and its second and forward derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import (
    ATTENTION,
    BICUBIC,
    OPERATIONS,
    PER_IMAGE,
    TRILINEAR,
    VOLUMES_CONV,
    assert_close,
    compute,
    cotangent_of,
    every_operation,
    loss_of,
    normal,
    on_device,
    positions,
)

from geoattn_jax import bilinear_sample
from geoattn_jax.ops import reference
from geoattn_jax.ops.crop import sample_crop

# The operations' own tests measure these lines.
pytestmark = [pytest.mark.usefixtures("compiled_quickly"), pytest.mark.no_cover]


@every_operation()
def test_jit_equals_eager(x64, operation):
    arguments = on_device(operation.arguments())
    eager, vjp = jax.vjp(lambda arguments: operation.fast(**arguments), arguments)
    output, gradient = compute(operation.fast, arguments)
    np.testing.assert_allclose(output, eager, rtol=0, atol=1e-12)
    assert_close(gradient, vjp(cotangent_of(eager))[0])


@every_operation(BICUBIC, TRILINEAR, ATTENTION)
def test_gradients_equal_the_references(x64, operation):
    arguments = on_device(operation.arguments())
    _, gradient = compute(operation.fast, arguments)
    _, expected = compute(operation.reference, arguments)
    assert_close(gradient, expected)


@every_operation(TRILINEAR, ATTENTION, mapped=["all", "positions", "image"])
def test_vmap_equals_a_loop(x64, operation, mapped):
    single = operation.arguments()
    names = {"all": single.keys(), "positions": {operation.where}, "image": {operation.image}}[mapped]
    arguments = on_device(
        {
            name: np.stack([array, array[::-1], -array]) if name in names else array
            for name, array in single.items()
        }
    )
    in_axes = ({name: 0 if name in names else None for name in single},)

    def one(index):
        return {name: array[index] if name in names else array for name, array in arguments.items()}

    function = partial(compute, operation.fast)
    outputs, gradients = jax.vmap(function, in_axes)(arguments)
    looped = [function(one(index)) for index in range(3)]
    expected_outputs, expected_gradients = jax.tree.map(lambda *arrays: np.stack(arrays), *looped)
    np.testing.assert_allclose(outputs, expected_outputs, rtol=0, atol=1e-12)
    assert_close(gradients, expected_gradients)


@every_operation()
def test_vmap_over_the_last_axis(x64, operation):
    arguments = on_device(operation.arguments())
    stacked = {name: jnp.stack([array, -array], axis=-1) for name, array in arguments.items()}
    function = jax.vmap(lambda arguments: operation.fast(**arguments), in_axes=-1, out_axes=-1)
    outputs = jax.jit(function)(stacked)
    for index, sign in enumerate((1, -1)):
        expected, _ = compute(operation.fast, {name: sign * array for name, array in arguments.items()})
        np.testing.assert_allclose(outputs[..., index], expected, rtol=0, atol=1e-12)


@every_operation()
def test_checkpoint_gives_the_same_gradients(x64, operation):
    arguments = on_device(operation.arguments())
    _, plain = compute(operation.fast, arguments)
    _, recomputed = compute(jax.checkpoint(operation.fast), arguments)
    assert_close(recomputed, plain, atol=1e-13)


@every_operation()
def test_inside_scan(x64, operation):
    """As a layer applied to every frame of a video."""
    arguments = on_device(operation.arguments())
    frames = {name: jnp.stack([array, -array]) for name, array in arguments.items() if name in PER_IMAGE}
    rest = {name: array for name, array in arguments.items() if name not in PER_IMAGE}

    @jax.jit
    def scanned(frames):
        return jax.lax.scan(
            lambda _, frame: (None, compute(operation.fast, {**frame, **rest})), None, frames
        )[1]

    outputs, gradients = scanned(frames)
    for t in range(2):
        frame = {name: array[t] for name, array in frames.items()}
        expected_output, expected_gradient = compute(operation.fast, {**frame, **rest})
        np.testing.assert_allclose(outputs[t], expected_output, rtol=0, atol=1e-12)
        assert_close({name: array[t] for name, array in gradients.items()}, expected_gradient)


def reverse_over_reverse(loss, arguments, direction):
    """The product of the Hessian with a direction."""

    def along(arguments):
        return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, jax.grad(loss)(arguments), direction))

    return jax.grad(along)(arguments)


def forward_over_reverse(loss, arguments, direction):
    """The same product, as `jax.hessian` takes it."""
    return jax.jvp(jax.grad(loss), (arguments,), (direction,))[1]


@every_operation(TRILINEAR, VOLUMES_CONV, ATTENTION, product=[forward_over_reverse, reverse_over_reverse])
def test_second_derivatives(x64, operation, product):
    arguments = on_device(operation.arguments())
    direction = {
        name: jnp.asarray(normal(seed, *array.shape))
        for seed, (name, array) in enumerate(arguments.items(), start=20)
    }
    computed = jax.jit(partial(product, loss_of(operation.fast)))(arguments, direction)
    expected = jax.jit(partial(forward_over_reverse, loss_of(operation.reference)))(arguments, direction)
    assert_close(computed, expected, atol=1e-10)


@every_operation(TRILINEAR, ATTENTION)
def test_second_derivatives_at_whole_positions_are_those_on_the_right(x64, operation):
    arguments = on_device(operation.arguments())
    arguments[operation.where] = jnp.floor(arguments[operation.where])
    computed, expected = (
        jax.jit(partial(forward_over_reverse, loss_of(function)))(arguments, arguments)
        for function in (operation.fast, operation.reference)
    )
    assert_close(computed, expected, atol=1e-10)


def test_hessian(x64):
    operation = OPERATIONS["bilinear_sample-zeros"]
    arguments = on_device(operation.arguments(batch=1))
    arguments["coords"] = arguments["coords"][:, 0]
    hessian = jax.jit(jax.hessian(loss_of(operation.fast)))(arguments)
    expected = jax.jit(jax.hessian(loss_of(operation.reference)))(arguments)
    for name in arguments:
        assert_close(hessian[name], expected[name], atol=1e-10)


def jvp(function, arguments):
    return jax.jvp(function, (arguments,), (arguments,))


def linearize(function, arguments):
    return jax.linearize(function, arguments)[1](arguments)


def mapped_jvp(function, arguments):
    stacked = jax.tree.map(lambda array: jnp.stack([array, array]), arguments)
    return jax.vmap(partial(jvp, function))(stacked)


FORWARD_MODE = {
    "jvp": jvp,
    "jvp of jit": lambda function, arguments: jvp(jax.jit(function), arguments),
    "jit of jvp": lambda function, arguments: jax.jit(partial(jvp, function))(arguments),
    "linearize": linearize,
    "linearize of jit": lambda function, arguments: linearize(jax.jit(function), arguments),
    "jacfwd": lambda function, arguments: jax.jacfwd(function)(arguments),
    "jacfwd of jit": lambda function, arguments: jax.jacfwd(jax.jit(function))(arguments),
    "vmap of jvp": mapped_jvp,
    "vmap of jvp of jit": lambda function, arguments: mapped_jvp(jax.jit(function), arguments),
    "jvp of checkpoint": lambda function, arguments: jvp(jax.checkpoint(function), arguments),
    "jvp of scan": lambda function, arguments: jvp(
        lambda arguments: jax.lax.scan(lambda _, __: (None, function(arguments)), None, length=2)[1],
        arguments,
    ),
}


@pytest.mark.parametrize("mode", FORWARD_MODE.values(), ids=FORWARD_MODE.keys())
@pytest.mark.parametrize("name", ["bilinear_sample-zeros", "deform_conv2d"])
def test_forward_mode_under_transformations(x64, name, mode):
    """Of two: what makes forward mode is one for all, see test_backward_pass.py."""
    check_forward_mode(OPERATIONS[name], mode)


@every_operation(VOLUMES_CONV, ATTENTION)
def test_forward_mode(x64, operation):
    check_forward_mode(operation, jvp)


def check_forward_mode(operation, mode):
    arguments = on_device(operation.arguments(batch=1))
    computed, expected = (
        mode(lambda arguments, function=function: function(**arguments), arguments)
        for function in (operation.fast, operation.reference)
    )
    for one, other in zip(jax.tree.leaves(computed), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@every_operation(BICUBIC, TRILINEAR, ATTENTION)
def test_forward_mode_is_the_transpose_of_reverse_mode(x64, operation):
    """With a tangent for one argument alone, too."""
    arguments = on_device(operation.arguments())
    output, gradient = compute(operation.fast, arguments)
    cotangent = cotangent_of(output)
    for name, array in arguments.items():
        direction = jnp.asarray(normal(30, *array.shape))

        def along(array, name=name):
            return operation.fast(**{**arguments, name: array})

        _, tangent = jax.jit(partial(jax.jvp, along))((array,), (direction,))
        expected = jnp.vdot(gradient[name], direction)
        np.testing.assert_allclose(jnp.vdot(tangent, cotangent), expected, rtol=1e-11)


def along_by_forward(loss, arguments, direction):
    return jax.jvp(loss, (arguments,), (direction,))[1]


def along_by_reverse(loss, arguments, direction):
    return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, jax.grad(loss)(arguments), direction))


@every_operation(outer=[along_by_forward, along_by_reverse])
def test_second_derivatives_through_forward_mode(x64, operation, outer):
    """Reverse mode twice, and forward mode of it, are tested above."""
    arguments = on_device(operation.arguments())

    def second(function, arguments, direction):
        first = partial(along_by_forward, loss_of(function), direction=direction)
        return outer(first, arguments, direction)

    computed, expected = (
        jax.jit(partial(second, function))(arguments, arguments)
        for function in (operation.fast, operation.reference)
    )
    np.testing.assert_allclose(computed, expected, rtol=1e-11)


def test_forward_mode_of_a_window(x64):
    image, coords = jnp.asarray(normal(0, 2, 6, 7, 2)), jnp.asarray(positions(1, 2, 3, hw=(4, 3)))
    top_left = jnp.array([[1, 2], [0, 4]])

    def read(image, coords):
        return sample_crop(image, top_left, coords, crop_hw=(4, 3))

    def read_window(image, coords):
        windows = [image[b, y : y + 4, x : x + 3] for b, (y, x) in enumerate(np.asarray(top_left))]
        return reference.bilinear_sample(jnp.stack(windows), coords)

    for computed, expected in zip(
        jvp(lambda both: jax.jit(read)(*both), (image, coords)),
        jvp(lambda both: read_window(*both), (image, coords)),
        strict=True,
    ):
        np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-12)


def test_no_gradient_where_none_is_asked_for():
    """A constant image or constant positions cost no error and no gradient."""
    image, coords = jnp.ones((1, 4, 5, 2)), jnp.full((1, 3, 2), 1.5)
    stopped = jax.grad(lambda image: bilinear_sample(image, jax.lax.stop_gradient(coords)).sum())(image)
    np.testing.assert_array_equal(stopped.sum(axis=(1, 2)), [[3.0, 3.0]])
