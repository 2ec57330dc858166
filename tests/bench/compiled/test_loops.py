"""Loops: their trips from the text alone, and whether they take one index after another."""

import jax
import jax.numpy as jnp
import pytest

from geoattn_jax.bench.compiled import hlo
from geoattn_jax.bench.compiled.costs import costs

EVERY_PLATFORM = True

STATE = "(s32[], s32[9,2], f32[40], s32[])"
LOOP = """\
%body (p: {state}) -> {state} {{
  %p = {state} parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %rows = s32[9,2] get-tuple-element(%p), index=1
  %x = f32[40] get-tuple-element(%p), index=2
  %limit = s32[] get-tuple-element(%p), index=3
  %zero = s32[] constant(0)
  %step = s32[] constant({step})
  %next = s32[] add(%i, %step)
  %row = s32[1,2] fusion(%rows, %i), kind=kLoop, calls=%read_row
  %place = s32[] {place}
  %pixel = f32[1] constant({{1}})
  %after = f32[40] dynamic-update-slice(%x, %pixel, %place)
  ROOT %t = {state} tuple(%next, %rows, %after, %limit)
}}

%read_row (rows: s32[9,2], i: s32[]) -> s32[1,2] {{
  %rows = s32[9,2] parameter(0)
  %i = s32[] parameter(1)
  %c = s32[] constant(0)
  ROOT %s = s32[1,2] dynamic-slice(%rows, %i, %c), dynamic_slice_sizes={{1,2}}
}}

%condition (p: {state}) -> pred[] {{
  %p = {state} parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %limit = s32[] get-tuple-element(%p), index=3
  ROOT %c = pred[] compare({compared}), direction={direction}
}}

ENTRY %main (rows: s32[9,2], x: f32[40]) -> f32[40] {{
  %rows = s32[9,2] parameter(0)
  %x = f32[40] parameter(1)
  %start = s32[] constant({start})
  %copied = s32[] copy(%start)
  %limit = s32[] constant({limit})
  %state = {state} tuple(%copied, %rows, %x, %limit)
  %w = {state} while(%state), condition=%condition, body=%body{attributes}
  ROOT %r = f32[40] get-tuple-element(%w), index=2
}}
"""
BITCAST = "bitcast(%row)"


def loop(start=0, step=1, limit=9, direction="LT", compared="%i, %limit", place=BITCAST, attributes=""):
    text = LOOP.format(
        state=STATE, start=start, step=step, limit=limit, direction=direction, compared=compared, place=place,
        attributes=attributes,
    )  # fmt: skip
    (found,) = costs(hlo.parse(text)).loops
    return found


@pytest.mark.parametrize(
    ("options", "trips"),
    [
        ({}, 9),
        ({"start": 2, "step": 3}, 3),
        ({"start": 2, "step": 3, "direction": "LE", "limit": 8}, 3),
        ({"start": 8, "step": -2, "limit": 0, "direction": "GT"}, 4),
        ({"start": 8, "step": -2, "limit": 0, "direction": "GE"}, 5),
        ({"start": 4, "step": 2, "direction": "NE", "limit": 10}, 3),
        ({"compared": "%limit, %i", "direction": "GT"}, 9),
        ({"start": 9}, 0),
        ({"start": 11}, 0),
        ({"direction": "GT", "start": 10}, None),  # never ends
        ({"step": 0}, None),
        ({"step": 2, "direction": "NE"}, None),
        ({"attributes": ', backend_config={"known_trip_count":{"n":"5"}}'}, 5),
    ],
)
def test_trips(options, trips):
    assert loop(**options).trips == trips


@pytest.mark.parametrize(
    ("place", "walks"),
    [
        (BITCAST, True),
        ("add(%i, %row)", True),
        ("add(%i, %step)", False),
        ("multiply(%i, %limit)", False),
    ],
)
def test_a_loop_that_reads_where_to_write_next_walks_indices(place, walks):
    assert loop(place=place).takes_index_by_index is walks


def test_a_loop_made_from_a_scatter_takes_index_by_index():
    metadata = ', metadata={op_name="jit(f)/vmap()/scatter-add"}'
    assert loop(place="add(%i, %step)", attributes=metadata).takes_index_by_index


def loops_of(function, *shapes):
    text = jax.jit(function).lower(*(jax.ShapeDtypeStruct(*shape) for shape in shapes)).as_text(dialect="hlo")
    return costs(hlo.parse(text)).loops


def test_nested_loops_multiply():
    def function(x):
        def outer(i, y):
            return jax.lax.fori_loop(0, 3, lambda j, z: jnp.sin(z) + i, y)

        return jax.lax.fori_loop(2, 7, outer, x)

    found = loops_of(function, ((3,), "float32"))
    assert sorted((loop.times, loop.trips) for loop in found) == [(1, 5), (5, 3)]


def test_a_loop_whose_end_is_data_has_no_trips():
    def function(x, n):
        return jax.lax.fori_loop(0, n, lambda i, y: jnp.sin(y), x)

    (found,) = loops_of(function, ((3,), "float32"), ((), "int32"))
    assert found.trips is None
    assert not found.takes_index_by_index


def test_loops_over_parts_and_over_indices_are_told_apart():
    def over_parts(x, rows):
        def body(start, y):
            part = jax.lax.dynamic_slice_in_dim(rows, 4 * start, 4)
            return y.at[part].add(1.0, mode="promise_in_bounds")

        return jax.lax.fori_loop(0, 3, body, x)

    def over_indices(x, rows):
        return jax.lax.fori_loop(0, 12, lambda i, y: y + jax.lax.dynamic_slice_in_dim(x, rows[i], 1), x)

    shapes = ((40,), "float32"), ((12,), "int32")
    (parts,), (indices,) = loops_of(over_parts, *shapes), loops_of(over_indices, *shapes)
    assert (parts.trips, parts.takes_index_by_index, parts.count("scatter")) == (3, False, 1)
    assert (indices.trips, indices.takes_index_by_index) == (12, True)
