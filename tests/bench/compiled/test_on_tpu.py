"""Programs compiled for a TPU are read rightly: what it cannot do at once is found."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from geoattn_jax.bench.compiled import hlo, target
from geoattn_jax.bench.compiled.costs import costs
from geoattn_jax.bench.compiled.programs import lower_op

EVERY_PLATFORM = True

MISSING = target.why_missing("tpu")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no compiler for TPUs: {MISSING}")

B, H, N, C = 4, 60, 40, 24
SHAPES = [jax.ShapeDtypeStruct((B, N), "int32"), jax.ShapeDtypeStruct((B, N, 2, C), "float32")]


def windows(rows, values):
    """Adds windows of two rows, which a TPU does one index after another."""
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
    )
    image = jnp.zeros((H, C))
    return jax.vmap(lambda row, value: lax.scatter_add(image, row[:, None], value, numbers))(rows, values)


def rows_in_parts(rows, values):
    """Adds the same rows one by one, in five parts."""

    def part(start, image):
        cut = [lax.dynamic_slice_in_dim(array, 8 * start, 8, 1) for array in (rows, values)]
        for step in (0, 1):
            image = jax.vmap(lambda one, row, value: one.at[row].add(value))(
                image, cut[0] + step, cut[1][:, :, step]
            )
        return image

    return lax.fori_loop(0, 5, part, jnp.zeros((rows.shape[0], H, C)))


@cache
def compiled(function):
    tpu = target.devices_of("tpu", "v5e:2x2")[:1]
    return lower_op(function, SHAPES, tpu, differentiated=False).compile().as_text()


@pytest.mark.parametrize("named", [True, False])
def test_a_scatter_of_windows_is_a_loop_over_indices(named):
    text = compiled(windows)
    if not named:
        text = re.sub(r"metadata=\{[^}]*\}", "", text)
    found = costs(hlo.parse(text))
    (loop,) = found.index_loops
    assert loop.trips * loop.times == found.scattered == B * N
    assert found.cycles > 100 * B * N


def test_a_scatter_of_rows_is_none():
    found = costs(hlo.parse(compiled(rows_in_parts)))
    assert found.index_loops == []
    assert [loop.trips for loop in found.loops] == [5]
    assert found.scattered == 2 * B * N
    assert found.cycles is not None


@pytest.mark.parametrize("devices", [1, 4])
def test_collectives_are_those_of_the_devices(devices):
    tpus = target.devices_of("tpu", "v5e:2x2")[:devices]

    def product(x, w):
        return x @ w

    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((8, 128), (128, 256))]
    lowered = lower_op(product, shapes, tpus, differentiated=True, whole=[1])
    found = costs(hlo.parse(lowered.compile().as_text()))
    assert found.collectives == ({"all-reduce": 1} if devices > 1 else {})
