"""What every sampling operation withstands: extreme positions, every float dtype."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import (
    ATTENTION,
    BICUBIC,
    OPERATIONS,
    TRILINEAR,
    VOLUMES_CONV,
    assert_close,
    compute,
    cotangent_of,
    every_operation,
    normal,
    on_device,
    positions,
)

from geoattn_jax import deform_conv2d, offset_resample

# The operations' own tests measure these lines.
pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("compiled_quickly")]

LOW_PRECISION = [jnp.bfloat16, jnp.float16, jnp.float32]


# Extreme positions ------------------------------------------------------------


def with_scattered(operation, values) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The operation's arguments, some positions replaced by values along one axis or all; and which."""
    arguments = operation.arguments()
    where = arguments[operation.where] = arguments[operation.where].copy()
    every_axis = list(range(where.shape[-1]))
    flat = where.reshape(-1, len(every_axis))
    replaced = np.zeros_like(flat, bool)
    for index, value in enumerate(values):
        for case, axes in enumerate((*every_axis, every_axis)):
            row = (7 + 10 * index + 3 * case) % len(flat)
            flat[row, axes] = value
            replaced[row, axes] = True
    return arguments, replaced.reshape(where.shape)


@every_operation(TRILINEAR, VOLUMES_CONV, ATTENTION)
@pytest.mark.parametrize("value", [1e6, -1e6, 1e20, -1e20, np.inf, -np.inf])
def test_far_positions_read_the_outside_and_get_no_gradient(x64, operation, value):
    arguments, replaced = with_scattered(operation, [value])
    output, gradient = compute(operation.fast, on_device(arguments))
    np.testing.assert_allclose(output, operation.oracle(**arguments), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(gradient[operation.where][replaced], 0.0)

    nearer = dict(arguments)  # just as far outside as 50 pixels, where nothing is special
    nearer[operation.where] = np.clip(arguments[operation.where], -50, 50)
    _, expected = compute(operation.reference, on_device(nearer))
    assert_close(gradient, expected)


@every_operation(TRILINEAR, VOLUMES_CONV, ATTENTION, dtype=LOW_PRECISION)
def test_far_positions_in_low_precision(operation, dtype):
    arguments, _ = with_scattered(operation, [3e4, -3e4, np.inf, -np.inf])
    output, gradients = compute(operation.fast, on_device(arguments, dtype))
    assert jnp.isfinite(output).all()
    for name, gradient in gradients.items():
        assert jnp.isfinite(gradient).all(), name


@every_operation(BICUBIC, TRILINEAR, VOLUMES_CONV, ATTENTION)
def test_nan_positions_give_nan_there_and_only_there(x64, operation):
    arguments, _ = with_scattered(operation, [np.nan])
    expected = operation.oracle(**arguments)
    assert np.isnan(expected).any()
    assert not np.isnan(expected).all()
    output, _ = compute(operation.fast, on_device(arguments))
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)


def of_nan_positions(operation, replaced) -> dict[str, np.ndarray]:
    """Which gradients are compared: all but those of the NaN positions themselves and their weights."""
    weighed = ~replaced.any(axis=-1)
    return {operation.where: ~replaced, "mask": weighed, "weights": weighed}


@every_operation(
    BICUBIC,
    TRILINEAR,
    ATTENTION,
    hide={
        "where": lambda output: jnp.sum(jnp.where(jnp.isnan(output), 0.0, output) ** 2),
        # Not nansum(output**2): its derivative is NaN before it reaches the operation.
        "nansum": lambda output: jnp.nansum(output * cotangent_of(output)),
    },
)
def test_a_loss_that_hides_nan_outputs_has_the_gradient_of_the_others(x64, operation, hide):
    arguments, replaced = with_scattered(operation, [np.nan])
    gradient = jax.jit(jax.grad(lambda arguments: hide(operation.fast(**arguments))))(on_device(arguments))

    # The same loss with harmless positions in place of NaN and the same outputs hidden.
    harmless = dict(arguments)
    harmless[operation.where] = np.nan_to_num(arguments[operation.where], nan=0.3)
    hidden = np.isnan(operation.oracle(**arguments))

    def visible(arguments):
        return hide(jnp.where(hidden, 0.0, operation.reference(**arguments)))

    expected = jax.jit(jax.grad(visible))(on_device(harmless))
    assert_close(gradient, expected, where=of_nan_positions(operation, replaced))


@every_operation(BICUBIC, TRILINEAR, VOLUMES_CONV, ATTENTION)
def test_a_gradient_through_nan_outputs_stays_finite_elsewhere(x64, operation):
    arguments, replaced = with_scattered(operation, [np.nan])
    _, gradient = compute(operation.fast, on_device(arguments))
    compared = of_nan_positions(operation, replaced)
    for name, array in gradient.items():
        assert np.isfinite(np.asarray(array)[compared.get(name, ...)]).all(), name


# Sizes ------------------------------------------------------------


@pytest.mark.parametrize("hw", [(1, 6), (5, 1), (1, 1)])
def test_images_of_one_row_or_column(x64, hw):
    """Values and gradients equal the reference's; its own equal the loops' and the finite differences'."""
    arguments = {
        "image": normal(0, 2, *hw, 4),
        "offsets": positions(1, 2, *hw, 2, 6, hw=hw),
        "kernel": normal(2, 3, 2, 4, 3),
    }
    per_channel = {"image": arguments["image"], "offsets": arguments["offsets"][:, :, :, 0, :4]}
    for name, given in (("deform_conv2d", arguments), ("offset_resample", per_channel)):
        fast, reference = OPERATIONS[name].fast.func, OPERATIONS[name].reference.func
        output, gradient = compute(fast, on_device(given))
        expected_output, expected_gradient = compute(reference, on_device(given))
        np.testing.assert_allclose(output, expected_output, rtol=0, atol=1e-12)
        assert_close(gradient, expected_gradient)


@every_operation(BICUBIC, TRILINEAR, VOLUMES_CONV, ATTENTION)
def test_empty_batch(operation):
    arguments = on_device(operation.arguments(batch=0), jnp.float32)
    expected_shape = (0, *operation.oracle(**operation.arguments(batch=1)).shape[1:])
    output, gradient = compute(operation.fast, arguments)
    assert output.shape == expected_shape
    for name, argument in arguments.items():
        assert gradient[name].shape == argument.shape
        np.testing.assert_array_equal(gradient[name], jnp.zeros_like(argument))


# Dtypes ------------------------------------------------------------


def largest_output(operation, arguments: dict[str, jax.Array]) -> float:
    """What no output can exceed: every sample as bright as the brightest can be, every term positive."""
    scale = {name: np.abs(np.asarray(array, np.float64)) for name, array in arguments.items()}
    if "weights" in scale:
        return scale["values"].max() * scale["weights"].sum(axis=(-2, -1)).max()
    weights = np.ones(1)
    if "kernel" in scale:
        weights = scale["kernel"].reshape(-1, scale["kernel"].shape[-1]).sum(axis=0)
    return (
        operation.overshoot
        * scale[operation.image].max()
        * weights.max()
        * scale.get("mask", np.ones(1)).max()
        + scale.get("bias", np.zeros(1)).max()
    )


def roundings(operation, arguments: dict[str, jax.Array]) -> int:
    """How many roundings in a row an output may see: the weights, the sum of pixels, the sum over taps,
    or over points."""
    pixels = operation.weights ** arguments[operation.where].shape[-1]
    taps = np.prod(arguments["kernel"].shape[:-1]) if "kernel" in arguments else 1
    if "weights" in arguments:
        taps = np.prod(arguments["weights"].shape[-2:])
    return 2 * pixels + int(taps)


@every_operation(BICUBIC, TRILINEAR, VOLUMES_CONV, ATTENTION, dtype=[*LOW_PRECISION, jnp.float64])
def test_float_in_same_float_out(x64, operation, dtype):
    arguments = on_device(operation.arguments(), dtype)
    output, gradients = compute(operation.fast, arguments)
    assert output.dtype == dtype
    for name, gradient in gradients.items():
        assert gradient.dtype == dtype, name

    exact = operation.oracle(**{name: np.asarray(array, np.float64) for name, array in arguments.items()})
    bound = (
        roundings(operation, arguments) * float(jnp.finfo(dtype).eps) * largest_output(operation, arguments)
    )
    np.testing.assert_allclose(output.astype(jnp.float64), exact, rtol=0, atol=bound)


@partial(jax.jit, static_argnums=0)
def exact_gradients(operation, arguments, cotangent):
    """The gradients in float64, and the same sums with every term positive."""
    positive = {
        name: array if name == operation.where else jnp.abs(array) for name, array in arguments.items()
    }

    def gradient(arguments, cotangent):
        return jax.vjp(lambda arguments: operation.reference(**arguments), arguments)[1](cotangent)[0]

    return gradient(arguments, cotangent), gradient(positive, jnp.abs(cotangent))


@every_operation(TRILINEAR, ATTENTION, dtype=LOW_PRECISION)
def test_gradients_in_low_precision(x64, operation, dtype):
    """The image's and the kernel's: sums of as many terms as there are outputs, in absolute value."""
    arguments = on_device(operation.arguments(), dtype)
    exact_arguments = {name: array.astype(jnp.float64) for name, array in arguments.items()}
    output, gradient = compute(operation.fast, arguments)
    cotangent = cotangent_of(output).astype(jnp.float64)
    exact, magnitude = exact_gradients(operation, exact_arguments, cotangent)
    for name in (operation.image, "kernel"):
        if name in arguments:
            terms = output.size / output.shape[-1]
            bound = (
                (terms + roundings(operation, arguments))
                * float(jnp.finfo(dtype).eps)
                * float(magnitude[name].max())
            )
            error = np.abs(gradient[name].astype(jnp.float64) - exact[name])
            assert error.max() <= bound, name


@every_operation(TRILINEAR, ATTENTION)
def test_a_bfloat16_image_with_float32_positions(operation):
    arguments = on_device(operation.arguments(), jnp.bfloat16)
    arguments[operation.where] = jnp.asarray(operation.arguments()[operation.where], jnp.float32)
    output, gradient = compute(operation.fast, arguments)
    assert output.dtype == jnp.bfloat16
    assert {name: array.dtype for name, array in gradient.items()} == {
        name: array.dtype for name, array in arguments.items()
    }
    exact = operation.oracle(**{name: np.asarray(array, np.float64) for name, array in arguments.items()})
    bound = (
        roundings(operation, arguments)
        * float(jnp.finfo(jnp.bfloat16).eps)
        * largest_output(operation, arguments)
    )
    np.testing.assert_allclose(output.astype(jnp.float32), exact, rtol=0, atol=bound)


def test_low_precision_offsets_keep_their_fraction_far_from_the_origin():
    """A bfloat16 has no fraction beyond 128, so pixel + offset must be added in a wider dtype."""
    ramp = jnp.broadcast_to((jnp.arange(300) % 2).astype(jnp.bfloat16)[:, None], (1, 2, 300, 1))
    inner = slice(1, 299)
    expected = np.where(np.arange(300) % 2 == 1, 0.75, 0.25)[inner]

    offsets = jnp.broadcast_to(jnp.array([0, 0.25], jnp.bfloat16), (1, 2, 300, 1, 2))
    resampled = offset_resample(ramp, offsets).astype(jnp.float32)
    np.testing.assert_array_equal(resampled[0, 0, inner, 0], expected)

    kernel = jnp.ones((1, 1, 1, 1), jnp.bfloat16)
    convolved = deform_conv2d(ramp, offsets[:, :, :, :, None], kernel).astype(jnp.float32)
    np.testing.assert_array_equal(convolved[0, 0, inner, 0], expected)
