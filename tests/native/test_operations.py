"""The operations by native kernels and by JAX, in float32: the same tests of both."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import OPERATIONS, PER_IMAGE, cotangent_of, every_operation, loss_of, normal, on_device
from jax import export
from placements import PLACEMENTS, Subject, check_divided

import geoattn_jax
from geoattn_jax import bilinear_sample, deform_conv2d
from geoattn_jax.native import kernels
from geoattn_jax.ops import platforms, reference

pytestmark = pytest.mark.usefixtures("compiled_quickly")
ATOL = 2e-6  # of the largest number; float32 has 24 bits
TARGETS = "geoattn_jax_read", "geoattn_jax_transpose"


@pytest.fixture(autouse=True, params=["native", "jax"])
def by(request, monkeypatch):
    """By which kernels the operations are computed."""
    monkeypatch.setenv("GEOATTN_JAX_NATIVE", "1" if request.param == "native" else "0")
    if request.param == "native" and kernels().instructions is None:
        pytest.skip(str(kernels()))
    return request.param


def arrays_of(operation, batch: int = 3) -> dict[str, jax.Array]:
    return on_device(operation.arguments(batch), jnp.float32)


def values_and_gradients(function, arguments):
    """By programs of their own: those of other kernels may be in JAX's caches."""

    def both(arguments):
        output, vjp = jax.vjp(lambda arguments: function(**arguments), arguments)
        return output, vjp(cotangent_of(output))[0]

    return jax.jit(both)(arguments)


def assert_alike(computed, expected, atol: float = ATOL) -> None:
    assert jax.tree.structure(computed) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(computed), jax.tree.leaves(expected), strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        scale = np.abs(other[np.isfinite(other)]).max(initial=1e-30)
        np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=atol)


def calls(program: str) -> set[str]:
    return {target for target in TARGETS if target in program}


def program_of(operation, arguments) -> str:
    """Of the value and its gradients, as it is handed to XLA."""
    both = jax.jit(jax.value_and_grad(lambda arguments: jnp.sum(operation.fast(**arguments))))
    return both.lower(arguments).as_text()


@every_operation()
def test_as_the_loops_and_their_gradients(operation, by):
    arguments = operation.arguments()
    output, gradients = values_and_gradients(operation.fast, arrays_of(operation))
    assert_alike(output, operation.oracle(**arguments))
    assert_alike(gradients, values_and_gradients(operation.reference, arrays_of(operation))[1], 1e-5)
    expected = set(TARGETS) if "coords" not in arguments else {TARGETS[1]}  # samples are as fast by JAX
    assert calls(program_of(operation, arrays_of(operation))) == (expected if by == "native" else set())


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize(
    ("channels", "hw"), [(1, (4, 8)), (3, (1, 4)), (4, (3, 1)), (23, (1, 1)), (41, (5, 3))]
)
@pytest.mark.usefixtures("x64")
def test_bad_pixels_and_positions_anywhere(channels, hw, padding_mode):
    """Of each image one pixel is bad; positions are on, between, beside and far from all, or nowhere.

    Everything is as in float64, whose rules have their own tests.
    """
    count = hw[0] * hw[1]
    image = normal(0, count, *hw, channels)
    image.reshape(count, count, channels)[range(count), range(count)] = np.nan
    axes = [np.append(np.arange(-2, size + 2, 0.5), [-1e9, np.inf, np.nan]) for size in hw]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    arguments = {"image": image, "coords": np.stack([grid] * count)}
    computed, expected = (
        values_and_gradients(partial(bilinear_sample, padding_mode=padding_mode), on_device(arguments, dtype))
        for dtype in (jnp.float32, jnp.float64)
    )
    assert_alike(computed, expected, 1e-5)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("channels", "groups"), [(6, 6), (6, 2), (9, 3), (20, 1)])
def test_groups_of_offsets(channels, groups, mask):
    """Channels of a group that fill vectors, or not; a NaN offset gives and gets no gradient."""
    random = np.random.default_rng(0)
    arguments = {
        "image": normal(0, 2, 5, 6, channels),
        "offsets": 2 * normal(1, 2, 5, 6, groups, 9, 2),
        "kernel": normal(2, 3, 3, channels, 4),
        **({"mask": random.uniform(0.2, 1.8, size=(2, 5, 6, groups, 9))} if mask else {}),
    }
    arguments["offsets"][0, 2, 3, 0, 4] = np.nan
    arrays = on_device(arguments, jnp.float32)
    (output, gradients), (_, expected) = (
        values_and_gradients(function, arrays) for function in (deform_conv2d, deform_by_reference)
    )
    assert_alike(output, reference.deform_conv2d(**arrays), 1e-5)
    assert_alike(gradients, expected, 1e-5)


def deform_by_reference(offsets, **others):
    """Where an offset is NaN the output passes no gradient."""
    nan = jnp.isnan(offsets).any(axis=(-3, -2, -1), keepdims=True)
    output = reference.deform_conv2d(offsets=jnp.where(nan, -99, offsets), **others)
    return jnp.where(nan[..., 0, 0], 0, output)


@every_operation()
def test_mapped_over_some_arguments(operation):
    arguments = arrays_of(operation, 2)
    mapped = {name: jnp.stack([array, 1.5 * array], axis=1) for name, array in arguments.items()}
    of_one = jax.jit(partial(values_and_gradients, operation.fast))
    for names in ({operation.where}, arguments.keys() - {operation.where}):
        some = {name: (mapped if name in names else arguments)[name] for name in arguments}
        axes = {name: 1 if name in names else None for name in arguments}
        one_by_one = [
            of_one({name: array[:, place] if name in names else array for name, array in some.items()})
            for place in range(2)
        ]
        expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
        assert_alike(jax.vmap(of_one, in_axes=(axes,))(some), expected, 1e-5)


@every_operation()
def test_what_is_not_mapped_stays_so(operation):
    arguments = arrays_of(operation, 1)
    function = jax.jit(partial(values_and_gradients, operation.fast))
    unmapped = jax.vmap(lambda _: function(arguments), out_axes=None)(jnp.zeros(3))
    assert_alike(unmapped, function(arguments))


@pytest.mark.parametrize("batch", [1, 2])
def test_images_and_outputs_in_several_pieces(batch, monkeypatch):
    """So many outputs that threads divide them, and a convolution that takes some of them at a time."""
    monkeypatch.setattr(platforms, "CPU", platforms.CPU._replace(tap_bytes=batch * 9 * 5 * 4 * 100))
    image, mask = normal(0, batch, 17, 19, 5), 1 + normal(3, batch, 17, 19, 1, 9) / 9
    convolved = {
        "image": image,
        "offsets": normal(1, batch, 17, 19, 1, 9, 2),
        "kernel": normal(2, 3, 3, 5, 2),
    }
    resampled = {"image": image, "offsets": normal(1, batch, 17, 19, 5, 2)}
    for name, arguments in (("deform_conv2d", {**convolved, "mask": mask}), ("offset_resample", resampled)):
        computed, expected = (
            values_and_gradients(getattr(module, name), on_device(arguments, jnp.float32))
            for module in (geoattn_jax, reference)
        )
        assert_alike(computed, expected, 1e-5)


@every_operation()
def test_second_derivatives(operation):
    """In forward mode of reverse mode, and in reverse mode of it."""
    arguments = arrays_of(operation, 1)
    tangents = {name: jnp.asarray(normal(7, *array.shape), jnp.float32) for name, array in arguments.items()}

    def both(function):
        slope = jax.grad(loss_of(function))
        along, pull_back = jax.jvp(slope, (arguments,), (tangents,)), jax.vjp(slope, arguments)[1]
        return along, pull_back(tangents)

    computed, expected = (jax.jit(partial(both, one))() for one in (operation.fast, operation.reference))
    assert_alike(computed, expected, 1e-4)


@every_operation()
def test_inside_of_loops_and_computed_twice(operation):
    arguments = arrays_of(operation)
    expected = values_and_gradients(operation.fast, arguments)

    def looped(**arguments):
        step = jax.checkpoint(lambda total, _: (total + operation.fast(**arguments), None))
        zero = jnp.zeros_like(expected[0])
        return jax.lax.scan(step, zero, None, length=2)[0] / 2

    assert_alike(values_and_gradients(looped, arguments), expected, 1e-5)


@pytest.mark.parametrize("placement", ["explicit", "auto", "shard_map", "shard_map of explicit"])
@every_operation()
def test_divided_among_devices(operation, placement):
    """Nothing is exchanged but the gradients of what all devices have."""
    arguments = arrays_of(operation, 8)
    subject = Subject(
        lambda divided, whole, _: operation.fast(**divided, **whole),
        {name: array for name, array in arguments.items() if name in PER_IMAGE},
        {name: array for name, array in arguments.items() if name not in PER_IMAGE},
    )
    check_divided(subject, PLACEMENTS[placement], jit=True, atol=1e-5)


@pytest.mark.parametrize("name", OPERATIONS)
def test_exported_programs_need_no_library(name):
    operation = OPERATIONS[name]
    arguments = arrays_of(operation)
    both = jax.jit(partial(values_and_gradients, operation.fast))
    program = export.export(both)(arguments)
    assert not calls(str(program.mlir_module()))
    assert_alike(program.call(arguments), both(arguments), 1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
@every_operation()
@pytest.mark.usefixtures("x64")
def test_other_dtypes_are_left_to_jax(operation, dtype):
    arguments = on_device(operation.arguments(), dtype)
    assert not calls(program_of(operation, arguments))
