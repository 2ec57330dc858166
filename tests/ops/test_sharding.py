"""A batch divided among devices in any way: the values and gradients of one device, no communication."""

import contextlib
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import schedules
from inputs import (
    ALL_OPERATIONS,
    ATTENTION,
    OPERATIONS,
    PER_IMAGE,
    TRILINEAR,
    VOLUMES_CONV,
    normal,
    on_device,
    positions,
)
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from placements import (
    BATCH,
    PLACEMENTS,
    WHOLE,
    Subject,
    check_divided,
    collectives,
    collectives_before,
    run_divided,
)

from geoattn_jax import affine_grid, crop_theta, deform_conv2d
from geoattn_jax.bench.compiled import hlo
from geoattn_jax.bench.compiled.costs import costs
from geoattn_jax.layers import local_response_norm, max_pool
from geoattn_jax.ops.crop import max_pool_crop, sample_crop
from geoattn_jax.ops.separable import separable_sample

EVERY_PLATFORM = True

# The operations' own tests measure these lines.
pytestmark = [pytest.mark.usefixtures("x64", "compiled_quickly"), pytest.mark.no_cover]
every_placement = pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS.keys())
of_each_kind = pytest.mark.parametrize(
    "placement", ["explicit", "auto", "shard_map", "shard_map of explicit"]
)
HW, CROP_HW = (9, 8), (6, 5)


def operation(name: str) -> Subject:
    """An operation with its images, positions and masks divided, its kernel and bias whole."""
    arguments = on_device(ALL_OPERATIONS[name].arguments(batch=8))
    return Subject(
        lambda divided, whole, _: ALL_OPERATIONS[name].fast(**divided, **whole),
        {name: array for name, array in arguments.items() if name in PER_IMAGE},
        {name: array for name, array in arguments.items() if name not in PER_IMAGE},
    )


def of_image(function, *others: np.ndarray, corners: bool = False) -> Subject:
    """A function of images, further arrays and, if asked for, the first pixels of windows in the images."""
    divided = tuple(jnp.asarray(array) for array in (normal(0, 8, *HW, 3), *others))
    top_left = np.random.default_rng(1).integers(0, 4, size=(8, 2))
    return Subject(
        lambda divided, _, constants: function(*divided[:1], *constants, *divided[1:]),
        divided,
        constants=(jnp.asarray(top_left),) if corners else (),
    )


SUBJECTS = {
    **{name: partial(operation, name) for name in OPERATIONS},
    "affine_grid": lambda: Subject(
        lambda theta, *_: affine_grid(theta, input_hw=HW, output_hw=CROP_HW), jnp.asarray(normal(0, 8, 2, 3))
    ),
    "crop_theta": lambda: Subject(
        lambda top_left, *_: crop_theta(top_left, (3, 4), input_hw=HW), jnp.asarray(normal(0, 8, 2))
    ),
    "sample_crop": lambda: of_image(
        partial(sample_crop, crop_hw=CROP_HW), positions(2, 8, 3, 4, hw=CROP_HW), corners=True
    ),
    "separable_sample": lambda: of_image(
        separable_sample, normal(2, 8, 16) + HW[0] / 2, normal(3, 8, 20) + HW[1] / 2
    ),
    "max_pool_crop": lambda: of_image(partial(max_pool_crop, crop_hw=CROP_HW, window=2), corners=True),
    "max_pool": lambda: of_image(max_pool),
    "local_response_norm": lambda: of_image(local_response_norm),
}


@cache
def prepared(name: str) -> Subject:
    """One for all tests, which is run on one device once."""
    return SUBJECTS[name]() if name in SUBJECTS else operation(name)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", [*SUBJECTS, TRILINEAR, VOLUMES_CONV, ATTENTION])
def test_equals_one_device(name, placement):
    """In the first three, programs are traced for all platforms, too."""
    everywhere = placement in ("explicit", "auto", "shard_map")
    with contextlib.nullcontext() if everywhere else schedules.of_cpus():
        check_divided(prepared(name), PLACEMENTS[placement], jit=True)


@pytest.mark.usefixtures("compiled_once")
@of_each_kind
@pytest.mark.parametrize("name", SUBJECTS)
def test_eagerly_too(name, placement):
    check_divided(prepared(name), PLACEMENTS[placement], jit=False)


@cache
def mapped_operation(name: str) -> Subject:
    """An operation on each of eight groups of images."""
    subject = operation(name)
    grouped = jax.tree.map(lambda array: jnp.stack([array[:3], array[3:6]] * 4), subject.divided)

    def mapped(divided, whole, constants):
        return jax.vmap(subject.function, in_axes=(0, None, None))(divided, whole, constants)

    return Subject(mapped, grouped, subject.whole)


@every_placement
@pytest.mark.parametrize("name", [*OPERATIONS, ATTENTION])
def test_a_divided_axis_may_be_mapped(name, placement):
    """Each group goes where its device is; here the operation sees no division."""
    with schedules.of_cpus():
        check_divided(mapped_operation(name), placement, jit=True)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("placement", ["explicit", "shard_map"])
def test_arguments_that_are_not_divided_follow_those_that_are(name, placement):
    """Positions made from nothing, for instance, which know of no mesh."""
    subject = operation(name)
    where = ALL_OPERATIONS[name].where
    one = subject.divided.pop(where)[:1]

    def function(divided, whole, constants):
        batch = divided[ALL_OPERATIONS[name].image].shape[0]
        return subject.function({**divided, where: jnp.concatenate([one] * batch)}, whole, constants)

    check_divided(Subject(function, subject.divided, subject.whole), PLACEMENTS[placement], jit=True)


@of_each_kind
@pytest.mark.parametrize("name", [*OPERATIONS, VOLUMES_CONV, ATTENTION])
def test_forward_mode(name, placement):
    """Along the arguments themselves, with no exchange at all."""
    subject = prepared(name)

    def derivative(divided, whole, constants):
        return jax.jvp(lambda *both: subject.function(*both, constants), (divided, whole), (divided, whole))

    arguments = subject.divided, subject.whole, subject.constants
    results, program = run_divided(derivative, PLACEMENTS[placement], arguments, BATCH, jit=True)
    assert not collectives(program)
    for result, expected in zip(results, jax.jit(derivative)(*arguments), strict=True):
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("axes", [AxisType.Auto, AxisType.Explicit])
def test_the_gradient_of_a_kernel_is_added_up_once(axes):
    """Over eight devices; not for each tap, nor for each of the parts that so large an image is taken in."""
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(axes,))

    def shape(*sizes: int, spec: PartitionSpec) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=NamedSharding(mesh, spec))

    image, offsets = shape(8, 56, 56, 64, spec=BATCH), shape(8, 56, 56, 1, 9, 2, spec=BATCH)
    kernel = shape(3, 3, 64, 64, spec=WHOLE)

    def gradients(*arrays):
        return jax.grad(lambda *arrays: deform_conv2d(*arrays).sum(), argnums=(0, 1, 2))(*arrays)

    with jax.set_mesh(mesh):
        lowered = jax.jit(gradients, out_shardings=(image.sharding, offsets.sharding, kernel.sharding)).lower(
            image, offsets, kernel
        )
    found = costs(hlo.parse(lowered.compile().as_text()))
    assert max(loop.trips for loop in found.loops) >= 9
    assert found.collectives == {"all-reduce": 1}


def test_the_search_finds_collectives():
    """Else the absence of a match above would say nothing."""
    for placement in PLACEMENTS.values():
        if not placement.per_device:
            image = jnp.ones((16, 3))
            _, program = run_divided(
                lambda image, *_: image.sum(), placement, (image, (), ()), WHOLE, jit=True
            )
            assert collectives(program) == {"all-reduce"}
    image = jax.device_put(jnp.ones((16, 3)), NamedSharding(PLACEMENTS["auto"].mesh(), BATCH))
    assert collectives(jax.jit(lambda image: image[::-1]).lower(image).compile().as_text())


@every_placement
def test_the_search_tells_which_results_depend_on_a_collective(placement):
    """Also where the collective is in a loop."""

    def results(image, scale, _):
        product, pull_back = jax.vjp(lambda scale: image * scale, scale)
        (total,) = pull_back(jnp.ones_like(product))
        looped = jax.lax.fori_loop(0, 3, lambda _, sums: jnp.sin(jnp.cos(image) * pull_back(sums)[0]), image)
        return product, jnp.cos(image), product / total, looped, total

    arguments = jnp.ones((16, 3)), jnp.ones(()), ()
    specs = BATCH, BATCH, BATCH, BATCH, WHOLE
    _, program = run_divided(results, placement, arguments, specs, jit=True)
    found = [collectives_before(program, count) for count in range(6)]
    assert found == [set()] * 3 + [{"all-reduce"}] * 3

    _, program = run_divided(lambda *one: results(*one)[3:], placement, arguments, specs[3:], jit=True)
    assert collectives_before(program, 1) == {"all-reduce"}
