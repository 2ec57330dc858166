"""Batches that devices share: evenly, filled up without weight, or not at all; sub-batches are a device's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_problem as problem

from geoattn_jax.training import Phase, read_metrics, train
from geoattn_jax.training.division import divide


def weighted_loss(params, model_state, batch, key, weights):
    del key
    error = jnp.tanh(batch["x"] @ params["trunk"]["kernel"]) @ params["head"]["kernel"] - batch["y"]
    errors = jnp.mean(error**2, axis=1)
    loss = errors.mean() if weights is None else (weights * errors).sum() / weights.sum()
    return loss, (model_state, {"twice": 2 * loss})


def phase(**changes):
    def batch(seed, step, rows):
        return {name: leaf[rows] for name, leaf in problem.host_batch(seed, step).items()}

    optimizers = {"trunk": optax.sgd(1e-1), "head": optax.sgd(1e-1, momentum=0.9)}
    one = Phase("fit", 3, batch, weighted_loss, optimizers, batch_size=16, weighted=True)
    return dataclasses.replace(one, **changes)


def run(phase, devices, **options):
    devices = jax.devices()[:devices]
    return train([phase], problem.initial_params(), {}, seed=4, devices=devices, **options).params


@pytest.mark.parametrize(
    ("examples", "sub_batches", "devices", "portions", "size", "filling"),
    [
        (16, 1, 8, 1, 2, 0),
        (50, 1, 4, 1, 13, 2),
        (50, 1, 8, 1, 7, 6),
        (128, 64, 1, 64, 2, 0),  # at the paper's scale a device takes two frames at a time
        (128, 64, 8, 8, 2, 0),
        (128, 64, 128, 1, 1, 0),
        (100, 50, 4, 25, 1, 0),  # 13 portions of two would leave some out
        (2, 1, 8, 1, 1, 6),
        (17, 17, 4, 5, 1, 3),
    ],
)
def test_every_device_gets_as_many_examples(examples, sub_batches, devices, portions, size, filling):
    one = phase(batch_size=examples, sub_batches=sub_batches)
    division = divide(one, examples, devices, fills=True)
    assert (division.portions, division.size, division.filling) == (portions, size, filling)
    rows = np.concatenate([division.rows(portion) for portion in range(portions)])
    assert rows.tolist() == list(range(examples + filling))
    if filling:
        with pytest.raises(ValueError, match=rf"{examples} examples cannot be split over {devices} devices"):
            divide(one, examples, devices, fills=False)


@pytest.mark.parametrize(("size", "sub_batches", "devices"), [(13, 1, 8), (3, 1, 8), (13, 13, 4), (16, 4, 2)])
def test_whatever_the_devices_the_step_is_that_of_one(tmp_path, size, sub_batches, devices):
    expected = run(phase(batch_size=size), 1, directory=tmp_path / "one")
    parts = phase(batch_size=size, sub_batches=sub_batches)
    problem.assert_trees_close(run(parts, devices, directory=tmp_path / "all"), expected)
    one, other = (read_metrics(tmp_path / name / "metrics.jsonl")[-1] for name in ("one", "all"))
    for name in ("loss", "twice"):
        assert other[name] == pytest.approx(one[name], rel=1e-5)


def test_metrics_are_means_over_the_sub_batches_that_know_them(tmp_path):
    """Two of four have nothing to tell."""

    def loss(params, model_state, batch, key, weights):
        loss, (model_state, _) = weighted_loss(params, model_state, batch, key, weights)
        number = batch["number"][0]
        return loss, (model_state, {"number": jnp.where(number % 2 == 0, number, jnp.nan), "all": number})

    def batch(seed, step, rows):
        return phase().batch(seed, step, rows) | {"number": (rows // 4).astype(np.float32)}

    run(phase(loss=loss, batch=batch, sub_batches=4, steps=1), 1, directory=tmp_path)
    (row,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (row["number"], row["all"]) == (1.0, 1.5)


def test_pmap_adds_sub_batches_up():
    expected = run(phase(), 1)
    problem.assert_trees_close(run(phase(sub_batches=8), 2, parallel="pmap"), expected)


def test_what_fills_up_is_said(caplog):
    with caplog.at_level("INFO", logger="geoattn_jax"):
        run(phase(batch_size=13, steps=1), 8)
    assert "fit: 13 examples are filled up to 16, without weight, for 8 devices" in caplog.text


def test_statistics_and_pmap_do_not_count_what_fills_up():
    message = "13 examples cannot be split over 8 devices; take 8 or 16, or let the program see fewer"
    with pytest.raises(ValueError, match=message):
        run(phase(batch_size=13), 8, parallel="pmap")
    params, statistics = problem.initial_params(), {"mean": jnp.zeros(3)}
    with pytest.raises(ValueError, match=message):
        train([phase(batch_size=13)], params, statistics, seed=4, devices=jax.devices())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sub_batches": 3}, "sub_batches must be a divisor of 16 examples, got 3"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1, got 0"),
        ({"batch_size": None}, "weighted must be False without batch_size, got True"),
        (
            {"batch_size": None, "weighted": False, "sub_batches": 2},
            "sub_batches must be 1 without batch_size",
        ),
        ({"reads_ahead": -1}, "reads_ahead must be a whole number, at least 0, got -1"),
    ],
)
def test_what_cannot_be_divided_is_refused(change, message):
    with pytest.raises(ValueError, match=f"phase 'fit': {message}"):
        phase(**change)


def test_a_batch_that_gives_more_than_was_asked_for_is_refused():
    with pytest.raises(ValueError, match="batch was asked for one example and gave 16"):
        run(phase(batch=lambda seed, step, rows: problem.host_batch(seed, step)), 1)
