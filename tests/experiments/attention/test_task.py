"""The two phases: what each minimizes, what it leaves alone, sub-batches, and what evaluation reports."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from attention_frames import CLASSES, LEVEL, FixedFrames

from geoattn_jax.experiments.attention.control_regions import recognizer_crops
from geoattn_jax.experiments.attention.region_measures import Measures, centre_of
from geoattn_jax.experiments.attention.task import AttentionTask
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.training import devices, train

SEED = 3
KEY = jax.random.key(0)


class Features(nn.Module):
    """The smallest localizer, and with `outputs` the smallest recognizer."""

    outputs: int | None = None

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.tanh(nn.Dense(4)(images.reshape(images.shape[0], -1)))
        return x if self.outputs is None else nn.Dense(self.outputs)(x)


def task(frames=None, *, sub_batches=1, mode="affine"):
    return AttentionTask(
        model=SSTN(Features(), Features(CLASSES), LEVEL.crop_hw, LEVEL.window_hw, mode=mode),
        frames=frames or FixedFrames(),
        batch_size=6,
        sub_batches=sub_batches,
        evaluation_batch=7,
        optimizer=optax.sgd,
    )


RATES = {"localizer_rate": 0.5, "recognizer_rate": 0.25, "schedule": "cosine", "evaluate_every": 2}


def guide(task, **changes):
    return task.guide(**{"updates": 4, "crops": "jittered", **RATES, **changes})


def joint(task, **changes):
    return task.joint(**{"updates": 4, "region": "attended", **RATES, **changes})


def test_guiding_regresses_theta_and_teaches_the_recognizer_on_its_own():
    one = task()
    params, phase = one.initial(SEED)["params"], guide(one)
    batch = one.frames.three

    def distance(params):
        theta = one.model.apply(
            {"params": params}, batch.frames, batch.top_left, train=True, method="localize"
        )
        return jnp.mean(jnp.abs(theta - batch.theta_2))

    @jax.jit
    def both(params):
        gradient, (_, metrics) = jax.grad(phase.loss, has_aux=True)(params, {}, batch, KEY)
        return gradient, metrics, *jax.value_and_grad(distance)(params)

    gradient, metrics, expected_distance, expected = both(params)
    for name in ("localizer", "transformer"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), gradient[name], expected[name])
    np.testing.assert_allclose(metrics["guiding"], expected_distance, rtol=1e-5)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient["recognizer"]))


def test_the_recognizers_crops():
    many = FixedFrames().training(None, 600, np.arange(600))
    jittered, anywhere = (
        recognizer_crops(crops, many, jax.random.key(1)) for crops in ("jittered", "random")
    )
    for theta in (jittered, anywhere):
        np.testing.assert_array_equal(theta[..., :2], many.theta_2[..., :2])
    from_region = np.asarray(centre_of(jittered, LEVEL.crop_hw) - centre_of(many.theta_2, LEVEL.crop_hw))
    np.testing.assert_allclose(from_region.std(axis=0), 12 / 16, rtol=0.1)
    np.testing.assert_allclose(from_region.mean(axis=0), 0, atol=0.2)
    places = np.asarray(centre_of(anywhere, LEVEL.crop_hw))
    np.testing.assert_allclose(places.min(axis=0), 2.5, atol=0.2)  # at the crop's edges, but inside
    np.testing.assert_allclose(places.max(axis=0), 8.5, atol=0.2)
    assert places.min() >= 2.5
    assert places.max() <= 8.5


def test_joint_training_is_the_networks_own_cross_entropy():
    one = task()
    params, batch = one.initial(SEED)["params"], one.frames.three
    loss, (_, metrics) = jax.jit(joint(one).loss)(params, {}, batch, KEY)
    see = jax.jit(partial(one.model.apply, train=True))
    logits, _ = see({"params": params}, batch.frames, batch.top_left)
    expected = -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(3), batch.labels])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(logits.argmax(-1) == batch.labels))
    assert set(metrics) == {"accuracy", *Measures._fields}
    np.testing.assert_allclose(metrics["scale"], 0.5)


@pytest.mark.parametrize("region", ["hard_coded", "oracle"])
def test_controls_leave_the_localizer_alone(region):
    one = task()
    params = one.initial(SEED)["params"]
    phase = joint(one, region=region)
    assert set(phase.optimizers) == {"recognizer"}
    trained = train([phase], params, {}, seed=SEED, devices=jax.devices()[:1]).params
    for name in ("localizer", "transformer"):
        jax.tree.map(np.testing.assert_array_equal, trained[name], params[name])
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), trained["recognizer"], params["recognizer"])
    assert all(jax.tree.leaves(moved))
    _, (_, metrics) = jax.jit(phase.loss)(params, {}, one.frames.three, KEY)
    if region == "oracle":  # the second frame has only a hand, the third a panel too
        assert metrics["panel_distance"] == pytest.approx(0, abs=1e-4)
        assert metrics["hand_distance"] == pytest.approx(np.sqrt(2) / 2, abs=1e-4)
        assert metrics["centre_distance"] > 0.5
    else:  # within half a pixel in each direction, but not on the pixel
        assert 0 < metrics["centre_distance"] < np.sqrt(0.5)


def test_sub_batches_make_the_big_batchs_steps():
    whole, parts = task(), task(sub_batches=2)
    params = whole.initial(SEED)["params"]
    results = []
    for one in (whole, parts):
        phases = [joint(one)]
        results.append(train(phases, params, {}, seed=SEED, devices=jax.devices()[:1]))
    assert [trained.step for trained in results] == [4, 4]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *(one.params for one in results)
    )
    assert any(
        np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (params, results[0].params)), strict=True)
    )


def test_the_phases_draw_different_samples():
    seen = []

    class Watched(FixedFrames):
        def training(self, draw, batch_size, rows):
            seen.append(draw)
            return super().training(draw, batch_size, rows)

    one = task(Watched())
    for phase in (guide(one), joint(one)):
        for step in (0, 1):
            phase.whole_batch(SEED, step)
    assert len(set(seen)) == 4


def test_evaluation_reports_means_and_the_followed_thetas():
    one = task(mode="translation")
    params = one.initial(SEED)["params"]
    reported = joint(one).evaluate(params, {})
    everything = one.outcome({"params": params}, "validation", "attended")
    assert everything.theta.shape == (9, 2, 3)  # by 7 at most
    assert reported["accuracy"] == pytest.approx(everything.correct.mean())
    assert reported["hand_distance"] == pytest.approx(np.nanmean(everything.measures.hand_distance), rel=1e-5)
    assert reported["theta_3_11"] == everything.theta[3, 1, 1] == 0.5
    assert "theta_4_00" not in reported


def test_eight_devices_evaluate_as_one(monkeypatch):
    one = task()
    variables = one.initial(SEED)
    for region in ("attended", "hard_coded"):
        expected = one.outcome(variables, "validation", region)
        monkeypatch.setattr(devices, "devices_at_work", lambda: tuple(jax.devices()))
        found = one.outcome(variables, "validation", region)
        monkeypatch.undo()
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)


def test_without_hands_and_panels_neither_is_reported():
    frames = FixedFrames()
    frames.panel_hw = None
    one = task(frames)
    reported = joint(one).evaluate(one.initial(SEED)["params"], {})
    assert {"centre_distance", "scale", "samples_outside"} <= set(reported)
    assert not {"hand_distance", "panel_distance", "panel_visible"} & set(reported)
    _, (_, metrics) = joint(one).loss(one.initial(SEED)["params"], {}, frames.three, KEY)
    assert set(metrics) == {"accuracy", "centre_distance", "scale", "samples_outside"}
