"""The loop against loops written by hand: what is trained, at which rate, on which batches."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_problem as problem

from geoattn_jax.training import NonFiniteError, Phase, read_metrics, train
from geoattn_jax.training.labels import by_module, label_parameters
from geoattn_jax.training.step import initial_opt_state

ONE = jax.devices()[:1]


def run(phases, *, seed=3, devices=ONE, **options):
    return train(
        phases, problem.initial_params(), problem.initial_model_state(), seed=seed, devices=devices, **options
    )


def hand_written(phases, *, seed=3):
    """The plain optax loop: every parameter is differentiated, frozen ones get zero updates."""
    params, model_state, total = problem.initial_params(), problem.initial_model_state(), 0
    for phase in phases:
        labels = {name: jax.tree.map(lambda _, name=name: name, tree) for name, tree in params.items()}
        frozen = {name: optax.set_to_zero() for name in params if name not in phase.optimizers}
        optimizer = optax.partition({**phase.optimizers, **frozen}, labels)

        @jax.jit
        def update(params, model_state, opt_state, batch, key, phase=phase, optimizer=optimizer):
            gradients, (model_state, _) = jax.grad(phase.loss, has_aux=True)(params, model_state, batch, key)
            with jax.numpy_dtype_promotion("standard"):
                updates, opt_state = optimizer.update(gradients, opt_state, params)
            return optax.apply_updates(params, updates), model_state, opt_state

        opt_state = optimizer.init(params)
        for step in range(phase.steps):
            key = jax.random.fold_in(jax.random.key(seed), total)
            params, model_state, opt_state = update(
                params, model_state, opt_state, phase.batch(seed, step), key
            )
            total += 1
    return params, model_state


def test_phases_equal_the_hand_written_loop_to_the_bit():
    trained = run(problem.phases())
    params, model_state = hand_written(problem.phases())
    problem.assert_trees_equal(trained.params, params)
    problem.assert_trees_equal(trained.model_state, model_state)


def test_one_step_by_arithmetic():
    """A golden step: plain SGD on a linear fit, worked out in NumPy."""
    x, y = np.float32([[1, 2], [3, -1]]), np.float32([[1], [0]])
    kernel = np.float32([[0.5], [-0.25]])

    def loss(params, model_state, batch, key):
        del key
        return jnp.mean((batch["x"] @ params["fit"]["kernel"] - batch["y"]) ** 2), (model_state, {})

    phase = Phase("fit", 1, lambda seed, step: {"x": x, "y": y}, loss, {"fit": optax.sgd(0.1)})
    trained = train([phase], {"fit": {"kernel": kernel}}, {}, seed=0, devices=ONE)
    gradient = x.T @ (x @ kernel - y)  # the mean over two examples cancels the square's factor 2
    np.testing.assert_allclose(trained.params["fit"]["kernel"], kernel - 0.1 * gradient, rtol=1e-6)


def test_frozen_parameters_come_out_bit_identical_and_the_others_do_not():
    before = problem.initial_params()
    after = run(problem.phases()[:1]).params
    problem.assert_trees_equal(after["head"], before["head"])
    assert all(
        (one != other).any()
        for one, other in zip(*map(jax.tree.leaves, (after["trunk"], before["trunk"])), strict=True)
    )


def test_frozen_parameters_are_not_differentiated():
    """An integer parameter has no gradient: asking for one is an error in JAX."""

    def loss(params, model_state, batch, key):
        del key
        scale = params["frozen"].astype(jnp.float32)
        return jnp.mean((batch * params["trained"] - scale) ** 2), (model_state, {})

    phase = Phase("fit", 3, lambda seed, step: jnp.ones(4), loss, {"trained": optax.sgd(0.1)})
    params = {"frozen": jnp.int32([5]), "trained": jnp.zeros(1)}
    trained = train([phase], params, {}, seed=0, devices=ONE)
    problem.assert_trees_equal(trained.params["frozen"], params["frozen"])
    assert trained.params["trained"][0] > 0


def test_frozen_parameters_cost_no_optimizer_memory():
    params, phase = problem.initial_params(), problem.phases()[0]
    opt_state = initial_opt_state(phase, label_parameters(params, by_module), params)
    trained = [leaf.shape for leaf in jax.tree.leaves(params["trunk"])]
    assert sorted(leaf.shape for leaf in jax.tree.leaves(opt_state)) == sorted([(), *trained, *trained])


def test_every_label_learns_at_its_own_rate():
    def loss(params, model_state, batch, key):
        del key
        return jnp.mean(batch) * (params["a"] + params["b"] + params["c"]), (model_state, {})

    rates = {"a": optax.sgd(0.5), "b": optax.sgd(0.125)}
    phase = Phase("rates", 1, lambda seed, step: jnp.ones(2), loss, rates)
    params = {name: jnp.float32(1) for name in "abc"}
    trained = train([phase], params, {}, seed=0, devices=ONE).params
    assert (float(trained["a"]), float(trained["b"]), float(trained["c"])) == (0.5, 0.875, 1.0)


def test_a_rule_can_label_by_the_whole_path():
    def rule(path):
        assert path in {("trunk", "kernel"), ("trunk", "bias"), ("head", "kernel")}
        return path[-1]

    phase = dataclasses.replace(problem.phases()[0], optimizers={"bias": optax.sgd(0.1)})
    before, after = problem.initial_params(), run([phase], labels=rule).params
    problem.assert_trees_equal(after["trunk"]["kernel"], before["trunk"]["kernel"])
    problem.assert_trees_equal(after["head"], before["head"])
    assert (after["trunk"]["bias"] != before["trunk"]["bias"]).all()


def test_sub_batches_equal_the_big_batch(tmp_path):
    """Four sub-batches of 4 take the same steps as a batch of 16, and report the same means."""

    def loss(params, model_state, batch, key):
        del key
        error = jnp.tanh(batch["x"] @ params["trunk"]["kernel"]) @ params["head"]["kernel"] - batch["y"]
        return jnp.mean(error**2), (model_state, {"mae": jnp.mean(jnp.abs(error))})

    asked = []

    def rows_of_batch(seed, step, rows):
        asked.append((step, rows.tolist()))
        return {name: leaf[rows] for name, leaf in problem.host_batch(seed, step).items()}

    optimizers = {"trunk": optax.adam(1e-2), "head": optax.sgd(optax.linear_schedule(1e-1, 1e-2, 5))}
    whole = Phase("whole", 5, problem.host_batch, loss, optimizers)
    parts = dataclasses.replace(whole, batch=rows_of_batch, batch_size=16, sub_batches=4)
    one, four = run([whole], directory=tmp_path / "one"), run([parts], directory=tmp_path / "four")
    problem.assert_trees_close(four.params, one.params)
    assert one.step == four.step == 5
    assert (one.params["head"]["kernel"] != problem.initial_params()["head"]["kernel"]).all()
    rows = [read_metrics(tmp_path / name / "metrics.jsonl")[-1] for name in ("one", "four")]
    for name in ("loss", "mae"):
        assert rows[1][name] == pytest.approx(rows[0][name], rel=1e-5)
    assert asked[1:5] == [(0, list(range(start, start + 4))) for start in (0, 4, 8, 12)]


def test_rounds_as_a_leading_axis_train_as_if_each_were_alone():
    """Many independent trainings as one phase: a sum of vmapped losses and an element-wise optimizer."""
    rounds, examples = 4, 8
    kernels = jax.random.normal(jax.random.key(1), (rounds, problem.FEATURES, 2))
    x = jax.random.normal(jax.random.key(2), (examples, problem.FEATURES))
    y = jnp.sin(x @ jnp.ones((problem.FEATURES, 2)))

    def order(seed, step):
        permute = jax.vmap(lambda key: jax.random.permutation(key, examples))
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step), rounds)
        return permute(keys)[:, :5].T  # (examples of a batch, rounds)

    def one_round(kernel, x, y, chosen):
        return jnp.mean((x[chosen] @ kernel - y[chosen]) ** 2)

    def loss(params, model_state, batch, key):
        del key
        losses = jax.vmap(one_round, in_axes=(0, None, None, 1))(
            params["fit"], batch["x"], batch["y"], batch["order"]
        )
        return losses.sum(), (model_state, {"spread": losses.std()})

    def batch(seed, step):
        return {"x": x, "y": y, "order": order(seed, step)}

    axes = {"x": None, "y": None, "order": 0}
    rule = {"fit": optax.rmsprop(1e-2, decay=0.9)}
    phase = Phase("rounds", 4, batch, loss, rule, batch_axes=axes)
    together = train([phase], {"fit": kernels}, {}, seed=5, devices=ONE).params["fit"]
    for index in range(rounds):
        own = slice(index, index + 1)

        def own_batch(seed, step, own=own):
            return batch(seed, step) | {"order": order(seed, step)[:, own]}

        alone = dataclasses.replace(phase, batch=own_batch)
        expected = train([alone], {"fit": kernels[own]}, {}, seed=5, devices=ONE).params["fit"]
        np.testing.assert_allclose(together[own], expected, rtol=1e-5, atol=1e-6)


def test_the_callers_arrays_survive():
    params, model_state = problem.initial_params(), problem.initial_model_state()
    copies = jax.tree.map(np.asarray, jax.tree.map(jnp.copy, (params, model_state)))
    train(problem.phases()[:1], params, model_state, seed=3, devices=ONE)
    problem.assert_trees_equal((params, model_state), copies)


def test_batches_and_keys_are_functions_of_seed_and_step():
    seen = []

    def batch(seed, step):
        seen.append((seed, step))
        return problem.host_batch(seed, step)

    run([dataclasses.replace(problem.phases()[0], batch=batch)], seed=8)
    assert seen[1:] == [(8, step) for step in range(7)]  # the first one is drawn for the checks
    assert any(
        (one != other).any()
        for one, other in zip(
            *(jax.tree.leaves(run(problem.phases()[1:2], seed=seed).params) for seed in (1, 2)), strict=True
        )
    )


def test_evaluation_is_reported_at_its_steps(tmp_path):
    def evaluate(params, model_state):
        return {"count": model_state["count"], "norm": jnp.sum(params["trunk"]["kernel"] ** 2)}

    phase = dataclasses.replace(problem.phases()[0], evaluate=evaluate, evaluate_every=3)
    run([phase], directory=tmp_path, log_every=100)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [(row["phase_step"], row["eval_count"]) for row in rows] == [(3, 3.0), (6, 6.0), (7, 7.0)]


@pytest.mark.parametrize("bad_step", [1, 4, 7])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, bad_step):
    def batch(seed, step):
        made = problem.host_batch(seed, step)
        return made | {"x": made["x"] * (math.nan if step + 1 == bad_step else 1)}

    first, second = problem.phases()[1], dataclasses.replace(problem.phases()[0], batch=batch)
    with pytest.raises(NonFiniteError, match=f"phase 'trunk', step {bad_step} of 7: the loss is nan"):
        run([first, second], directory=tmp_path, checkpoint_every=2, log_every=1)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 5 + bad_step))
    assert all(math.isfinite(row["loss"]) for row in rows)


def test_a_parameter_that_is_not_finite_is_never_saved(tmp_path):
    """sqrt(0) has a finite value and an infinite derivative."""

    def loss(params, model_state, batch, key):
        del key
        return jnp.mean(jnp.sqrt(params["fit"]) * batch), (model_state, {})

    phase = Phase("root", 1, lambda seed, step: jnp.ones(2), loss, {"fit": optax.sgd(0.1)})
    with pytest.raises(NonFiniteError, match=r"phase 'root', step 1 of the run: \['fit'\] is not finite"):
        train([phase], {"fit": jnp.zeros(())}, {}, seed=0, devices=ONE, directory=tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_a_host_batch_and_a_device_batch_give_the_same_steps():
    phase = problem.phases()[0]
    on_device = dataclasses.replace(
        phase, batch=lambda seed, step: jax.tree.map(jnp.asarray, problem.host_batch(seed, step))
    )
    problem.assert_trained_equal(run([phase]), run([on_device]))


PHASE = functools.partial(Phase, "fit", 2, problem.host_batch, problem.loss, {"trunk": optax.sgd(0.1)})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name must be a non-empty string"),
        ({"steps": 0}, "phase 'fit': steps must be a whole number, at least 1, got 0"),
        ({"steps": 2.5}, "phase 'fit': steps must be a whole number, at least 1, got 2.5"),
        ({"steps": True}, "phase 'fit': steps must be a whole number"),
        ({"batch": [1]}, "phase 'fit': batch must be a function"),
        ({"loss": None}, "phase 'fit': loss must be a function"),
        ({"optimizers": {}}, "phase 'fit': optimizers must be a non-empty mapping"),
        ({"optimizers": {"trunk": 0.1}}, r"optimizers\['trunk'\] must be an optax.GradientTransformation"),
        ({"optimizers": {"trunk": optax.MultiSteps(optax.sgd(1), 2)}}, "gradient_transformation()"),
        ({"batch_axes": 1}, "phase 'fit': batch_axes must be made of 0 and None, got 1"),
        ({"evaluate": 3}, "phase 'fit': evaluate must be a function or None"),
        ({"evaluate_every": 3}, "phase 'fit': evaluate_every must be None without evaluate"),
        ({"evaluate": lambda *_: {}, "evaluate_every": 0}, "evaluate_every must be a whole number"),
    ],
)
def test_a_bad_phase_is_refused_when_it_is_made(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PHASE(), **change)


def lossy(change):
    """`problem.loss` with another result."""

    def loss(params, model_state, batch, key):
        return change(*problem.loss(params, model_state, batch, key))

    return loss


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"optimizers": {"tail": optax.sgd(1)}},
            r"labels \['tail'\] that no parameter has.*\['head', 'trunk'\]",
        ),
        ({"loss": lossy(lambda value, aux: value)}, r"loss must return \(loss, \(model_state, metrics\)\)"),
        ({"loss": lossy(lambda value, aux: (jnp.ones(2), aux))}, "loss must be one floating point number"),
        ({"loss": lossy(lambda value, aux: (value, ({}, aux[1])))}, "model_state must keep its structure"),
        ({"loss": lossy(lambda value, aux: (value, (aux[0], {"v": jnp.ones(3)})))}, "'v' must be one number"),
        ({"loss": lossy(lambda value, aux: (value, (aux[0], {"step": value})))}, "'step' has a name"),
        ({"shown": "accuracy"}, r"shown must be one of \['loss', 'mae'\], got 'accuracy'"),
        ({"batch_axes": {"x": 0}}, "batch_axes {'x': 0} must be a prefix of the batch's tree"),
        ({"batch": lambda seed, step: {"x": 1.0}}, r"batch\['x'\] must be an array, got float"),
        ({"batch": lambda seed, step: {"x": np.float32(1)}}, "must have a first axis of examples"),
        ({"batch": lambda seed, step: {"x": np.ones(4), "y": np.ones(8)}}, "equally many examples"),
        (
            {"batch": lambda seed, step: {"x": np.ones(12)}},
            "12 examples .* over 8 devices; take 8 or 16, or let",
        ),
    ],
)
def test_a_phase_that_does_not_fit_fails_before_any_work(tmp_path, change, message):
    changed = dataclasses.replace(PHASE(), **change)
    good = dataclasses.replace(PHASE(), name="before")
    with pytest.raises(ValueError, match=message):
        run([good, changed], directory=tmp_path / "run", devices=jax.devices())
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("phases", "options", "message"),
    [
        ([], {}, "phases must be at least one"),
        ([PHASE(), PHASE()], {}, r"with different names; got \['fit', 'fit'\]"),
        ([PHASE()], {"parallel": "threads"}, r"parallel must be one of \['jit', 'pmap'\], got 'threads'"),
        ([PHASE()], {"labels": lambda path: 3}, "the label of head/kernel must be a string, got 3"),
        ([PHASE()], {"log_every": 0}, "log_every must be a whole number, at least 1, got 0"),
        ([PHASE()], {"checkpoint_every": 0.5}, "checkpoint_every must be a whole number"),
        ([PHASE()], {"seed": -1}, "seed must be a whole number, from 0 to 4294967295, got -1"),
        ([PHASE()], {"seed": 2**32}, "seed must be a whole number, from 0 to 4294967295"),
    ],
)
def test_bad_arguments_are_refused(phases, options, message):
    with pytest.raises(ValueError, match=message):
        run(phases, **options)
