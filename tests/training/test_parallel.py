"""Eight devices, by jit and by pmap, take the steps of one device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_problem as problem

from geoattn_jax.training import PMAP_AXIS, Phase, read_metrics, train


def phases(parallel):
    """Without dropout; the batch's mean goes over all devices, as in flax's BatchNorm(axis_name=...)."""
    loss = functools.partial(problem.loss, axis_name=PMAP_AXIS if parallel == "pmap" else None)
    both = {"trunk": optax.adam(1e-2), "head": optax.sgd(1e-1, momentum=0.9)}
    return [
        Phase("trunk", 4, problem.host_batch, loss, {"trunk": optax.adam(1e-2)}),
        Phase("joint", 5, problem.rendered_batch, loss, both),
    ]


def run(phases, parallel, devices, **options):
    params, model_state = problem.initial_params(), problem.initial_model_state()
    return train(
        phases, params, model_state, seed=4, parallel=parallel, devices=jax.devices()[:devices], **options
    )


@pytest.fixture(scope="module")
def one_device():
    return run(phases("jit"), "jit", 1)


@pytest.mark.parametrize(("parallel", "devices"), [("jit", 8), ("pmap", 8), ("pmap", 1)])
def test_all_ways_equal_one_device(tmp_path, one_device, parallel, devices):
    trained = run(phases(parallel), parallel, devices, directory=tmp_path, log_every=2)
    problem.assert_trees_close(trained.params, one_device.params)
    problem.assert_trees_close(trained.model_state, one_device.model_state)
    assert int(trained.model_state["count"]) == trained.step == 9
    assert all(leaf.devices() == {jax.devices()[0]} for leaf in jax.tree.leaves(trained.params))
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [2, 4, 6, 8, 9]


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_metrics_are_means_over_the_whole_batch(tmp_path, parallel):
    for devices in (1, 8):
        run(phases(parallel)[:1], parallel, devices, directory=tmp_path / str(devices), log_every=1)
    one, eight = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("1", "8"))
    for name in ("loss", "mae"):
        np.testing.assert_allclose([row[name] for row in eight], [row[name] for row in one], rtol=1e-5)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_every_device_holds_its_share_of_the_batch_only(parallel):
    """Seen from inside, through a callback: shares of 2 examples, and one whole table."""
    shapes = set()

    def loss(params, model_state, batch, key):
        del key
        fit = batch["x"] * params["fit"] + batch["table"].sum()
        jax.debug.callback(lambda x, table: shapes.add((x.shape, table.shape)), batch["x"], batch["table"])
        return jnp.mean(fit**2), (model_state, {})

    def batch(seed, step):
        return {"x": np.ones((16, 3), np.float32), "table": np.ones((5,), np.float32)}

    phase = Phase("fit", 1, batch, loss, {"fit": optax.sgd(0.1)}, batch_axes={"x": 0, "table": None})
    expected = 1 - 0.1 * 2 * (1 + 5)
    trained = train([phase], {"fit": jnp.ones(())}, {}, seed=0, parallel=parallel)
    np.testing.assert_allclose(trained.params["fit"], expected, rtol=1e-5)
    jax.effects_barrier()
    assert {table for _, table in shapes} == {(5,)}
    if parallel == "pmap":
        assert {x for x, _ in shapes} == {(2, 3)}


def test_dropout_under_jit_is_that_of_one_device_and_under_pmap_differs_between_devices():
    def loss(params, model_state, batch, key):
        draw = jax.random.uniform(key, batch.shape)
        return jnp.mean(draw * params["fit"]), (model_state, {"spread": draw.std()})

    phase = Phase("draw", 1, lambda seed, step: np.ones(16, np.float32), loss, {"fit": optax.sgd(1.0)})
    fit = {
        (parallel, devices): float(
            train(
                [phase],
                {"fit": jnp.zeros(())},
                {},
                seed=0,
                parallel=parallel,
                devices=jax.devices()[:devices],
            ).params["fit"]
        )
        for parallel, devices in (("jit", 1), ("jit", 8), ("pmap", 8))
    }
    assert fit["jit", 8] == pytest.approx(fit["jit", 1], rel=1e-6)
    step_key = jax.random.fold_in(jax.random.key(0), 0)
    draws = [jax.random.uniform(jax.random.fold_in(step_key, device), (2,)) for device in range(8)]
    assert fit["pmap", 8] == pytest.approx(-np.mean(draws), rel=1e-6)


def test_a_small_phase_can_run_whole_on_every_device():
    """A batch that cannot be split over the devices need not be."""
    phase = dataclasses.replace(
        phases("jit")[0],
        batch=lambda seed, step: jax.tree.map(lambda leaf: leaf[:13], problem.host_batch(seed, step)),
        batch_axes=None,
    )
    problem.assert_trees_close(run([phase], "jit", 8).params, run([phase], "jit", 1).params)


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_the_callers_arrays_stay(parallel, devices):
    """Steps use the memory of their state again; it must not be that of the arrays given."""
    params, model_state = problem.initial_params(), problem.initial_model_state()
    train(phases(parallel), params, model_state, seed=4, parallel=parallel, devices=jax.devices()[:devices])
    problem.assert_trees_equal(
        (params, model_state), (problem.initial_params(), problem.initial_model_state())
    )
