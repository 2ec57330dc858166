"""Networks with running statistics: trained, resumed, spread over devices, accumulated, evaluated."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import training_problem as problem
from attention_frames import CLASSES, LEVEL, FixedFrames, samples

from geoattn_jax.experiments.attention.task import AttentionTask
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.training import PMAP_AXIS, train

SEED = 3
RATES = {"localizer_rate": 0.05, "recognizer_rate": 0.05, "schedule": "cosine", "evaluate_every": 2}


class Network(nn.Module):
    """The smallest one that normalizes by its batch; with `outputs` a recognizer."""

    outputs: int | None = None
    axis_name: str | None = None

    def setup(self):
        self.dense = nn.Dense(4)
        self.norm = nn.BatchNorm(momentum=0.9, axis_name=self.axis_name)
        self.last = nn.Dense(self.outputs or 3)

    def __call__(self, images, *, train):
        return self.last(self.features(images, train=train))

    def features(self, images, *, train=False):
        x = self.dense(images.reshape(images.shape[0], -1))
        return nn.tanh(self.norm(x, use_running_average=not train))


def task(*, axis_name=None, sub_batches=1, **changes):
    networks = Network(axis_name=axis_name), Network(CLASSES, axis_name)
    model = SSTN(*networks, LEVEL.crop_hw, LEVEL.window_hw)
    one = AttentionTask(
        model, FixedFrames(), batch_size=6, sub_batches=sub_batches, evaluation_batch=7, optimizer=optax.sgd
    )
    return dataclasses.replace(one, **changes)


def split(variables):
    return variables["params"], {"batch_stats": variables["batch_stats"]}


def guide(task, **changes):
    return task.guide(**{"updates": 3, "crops": "jittered", **RATES, **changes})


def joint(task, **changes):
    return task.joint(**{"updates": 3, "region": "attended", **RATES, **changes})


def run(phases, variables, *, devices=1, **options):
    return train(phases, *split(variables), seed=SEED, devices=jax.devices()[:devices], **options)


def changed(one, other):
    return any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


@pytest.mark.parametrize(
    ("phase", "moved"),
    [
        (guide, {"localizer", "recognizer"}),
        (joint, {"localizer", "recognizer"}),
        (partial(joint, region="hard_coded"), {"recognizer"}),
    ],
)
def test_the_networks_that_see_a_batch_learn_its_statistics(phase, moved):
    one = task()
    params, before = split(one.initial(SEED))
    _, (after, _) = jax.jit(phase(one).loss)(params, before, one.frames.three, jax.random.key(0))
    parts = before["batch_stats"], after["batch_stats"]
    assert {name for name in parts[0] if changed(*(part[name] for part in parts))} == moved


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tmp_path):
    one = task()
    start = one.initial(SEED)
    whole = run([guide(one), joint(one)], start)
    assert changed(whole.model_state, split(start)[1])

    class InterruptionError(Exception):
        pass

    phases = [guide(one), joint(one)]

    def interrupted(seed, step, rows):
        if step == 1:
            raise InterruptionError
        return phases[1].batch(seed, step, rows)

    cut = [phases[0], dataclasses.replace(phases[1], batch=interrupted)]
    with pytest.raises(InterruptionError):
        run(cut, start, directory=tmp_path, checkpoint_every=1)
    problem.assert_trained_equal(run(phases, start, directory=tmp_path), whole)


@pytest.mark.parametrize(("parallel", "devices"), [("jit", 3), ("pmap", 3), ("pmap", 1)])
def test_all_ways_equal_one_device(parallel, devices):
    """Joint training, in which nothing is drawn at random."""
    spread = task(axis_name=PMAP_AXIS if parallel == "pmap" else None)
    start = task().initial(SEED)
    expected = run([joint(task())], start)
    found = run([joint(spread)], start, parallel=parallel, devices=devices)
    problem.assert_trees_close(found.params, expected.params, rtol=1e-3, atol=1e-4)
    problem.assert_trees_close(found.model_state, expected.model_state, rtol=1e-3, atol=1e-4)


def test_sub_batches_add_up_and_each_moves_the_statistics():
    """Equal sub-batches make the step of one of them, and twice the moves of the running averages."""
    start = task().initial(SEED)
    accumulated = run([joint(task(sub_batches=2), updates=1)], start)
    once = run([joint(task(batch_size=3), updates=1)], start)
    problem.assert_trees_close(accumulated.params, once.params, rtol=1e-4, atol=1e-5)
    assert accumulated.step == once.step == 1

    def first_mean(trained):
        return trained.model_state["batch_stats"]["localizer"]["norm"]["mean"]

    np.testing.assert_allclose(first_mean(accumulated), 1.9 * first_mean(once), rtol=1e-4)


def test_evaluation_does_not_depend_on_its_batch():
    one = task()
    trained = run([guide(one)], one.initial(SEED))
    variables = {"params": trained.params, **trained.model_state}
    outcomes = [
        dataclasses.replace(one, evaluation_batch=size).outcome(variables, "validation", "attended")
        for size in (2, 5, 9)
    ]
    for outcome in outcomes[1:]:
        np.testing.assert_allclose(outcome.theta, outcomes[0].theta, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(outcome.correct, outcomes[0].correct)


def test_features_are_those_of_running_statistics():
    one = task()
    variables, frames = one.initial(SEED), samples(4)
    whole = one.features(variables, frames, "attended")
    first = one.features(variables, jax.tree.map(lambda leaf: leaf[:1], frames), "attended")
    assert whole.shape == (4, 4)
    np.testing.assert_allclose(whole[:1], first, rtol=1e-4, atol=1e-5)


def test_equal_tasks_are_one_to_jit():
    frames = FixedFrames()
    one, same, other = (task(frames=frames, **changes) for changes in ({}, {}, {"batch_size": 12}))
    assert (one, hash(one)) == (same, hash(same))
    assert one != other
