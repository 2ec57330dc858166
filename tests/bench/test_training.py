"""The suites beside the kernels' in tiny sizes: contenders agree, and would not if one were wrong."""

import dataclasses
import importlib.util

import jax
import numpy as np
import pytest

from geoattn_jax.bench import descriptors, lstm, pretrain, render, timing
from geoattn_jax.bench.suite import SUITES, load

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")


@needs_torch
def test_all_trainings_agree():
    (case,) = lstm.cases(["rounds"], smoke=True)
    timing.check_agreement(case)
    assert [contender.name for contender in case.contenders][:2] == ["geoattn_jax", "torch, 1 thread"]
    assert case.contenders[1].part == lstm.TINY.sample / lstm.TINY.rounds


@needs_torch
def test_another_learning_rate_is_noticed(monkeypatch):
    trainings = lstm.Trainings.draw(lstm.TINY)
    ours = lstm.all_at_once(trainings)
    monkeypatch.setattr(lstm, "LEARNING_RATE", 2e-3)
    case = lstm.Case("rounds", "training", [ours, *lstm.one_after_another(trainings)])
    with pytest.raises(timing.Disagreement, match="torch, 1 thread and geoattn_jax differ in the losses"):
        timing.check_agreement(case)


def test_every_call_trains_anew():
    ours = lstm.all_at_once(lstm.Trainings.draw(lstm.TINY))
    first, second = ours.call(), ours.call()
    jax.tree.map(np.testing.assert_array_equal, first, second)


@needs_torch
def test_training_steps_agree():
    (case,) = pretrain.cases(["lenet"], smoke=True)
    timing.check_agreement(case)
    assert [contender.name.split(",")[0] for contender in case.contenders] == ["geoattn_jax", "torch"]


def test_the_next_call_takes_the_next_step():
    (case,) = pretrain.cases(["lenet"], smoke=True)
    ours = case.contenders[0]
    losses = [float(ours.arrays(ours.call())["loss"]) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]


@needs_torch
def test_the_parts_of_a_step_make_one():
    (case,), (again,) = (pretrain.cases(["lenet"], smoke=True) for _ in range(2))
    for whole, parted in zip(case.contenders, again.contenders, strict=True):
        whole.call()
        assert list(parted.parts) == ["gradients", "optimizer"]
        for part in parted.parts.values():
            part()
        second, after_parts = (contender.arrays(contender.call()) for contender in (whole, parted))
        np.testing.assert_allclose(after_parts["loss"], second["loss"], rtol=1e-5)


@pytest.mark.parametrize("name", render.WORKLOADS)
def test_frames_are_rendered(name):
    (case,) = render.cases([name], smoke=True)
    (ours,) = case.contenders
    frames = ours.arrays(ours.call())["frames"]
    kitchens = {"detail": (128, 170), "middle": (64, 85), "general": (37, 49)}
    assert frames.shape == ((1, 10, *kitchens[name], 3) if name in kitchens else (2, 50, 16, 16, 1))
    assert frames.max() > 0.5


@pytest.mark.parametrize("kind", descriptors.WORKLOADS)
def test_descriptors_agree(kind):
    (case,) = descriptors.cases([kind], smoke=True)
    timing.check_agreement(case)
    assert [contender.name for contender in case.contenders] == ["geoattn_jax", "NumPy loop"]


def test_another_sigma_is_noticed():
    clips = descriptors.Clips.draw(descriptors.TINY)
    ours = descriptors.in_one_program(clips, "rbf")
    wider = dataclasses.replace(clips, sigma=1.01 * clips.sigma)
    case = descriptors.Case("rbf", "pooling", [ours, descriptors.one_after_another(wider, "rbf")])
    with pytest.raises(timing.Disagreement, match="NumPy loop and geoattn_jax differ in the descriptors"):
        timing.check_agreement(case)


def test_goals_are_set_in_full_size_only():
    assert not next(render.cases(["normal"], smoke=True)).goals
    assert not next(render.cases(["general"], smoke=False)).goals
    (goal,) = next(render.cases(["normal"], smoke=False)).goals
    assert (goal.measure, goal.at_most) == ("milliseconds", pytest.approx(33.3, rel=1e-2))


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_describes_its_workloads(name):
    suite = load(name)
    assert suite.title
    assert suite.workloads
    assert suite.method.strip() == suite.method
    assert {workload for workload, _ in suite.causes} <= set(suite.workloads)
