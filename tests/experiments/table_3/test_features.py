"""The features of all frames: as one by one, whatever the batch; and clip by clip."""

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from clip_sources import LENGTHS, NoisyClips

from geoattn_jax.data.levels import Level
from geoattn_jax.experiments.attention.region_measures import centre_of
from geoattn_jax.experiments.attention.task import AttentionTask
from geoattn_jax.experiments.table_3.features import Trained, extract_features
from geoattn_jax.experiments.table_3.frames import StreamFrames
from geoattn_jax.models.sstn import SSTN
from geoattn_jax.training import devices

LEVEL = Level("middle", frame_hw=(12, 17), crop_hw=(12, 12), window_hw=(6, 6), max_pool=2)


class Network(nn.Module):
    """The smallest localizer; with `outputs` a recognizer whose features are the region itself."""

    outputs: int | None = None

    def setup(self):
        self.dense = nn.Dense(self.outputs or 5)

    def __call__(self, images, *, train):
        return self.dense(self.features(images))

    def features(self, images):
        return images.reshape(images.shape[0], -1)


@pytest.fixture(scope="module", params=["rgb", "flow"])
def frames(request):
    return StreamFrames(NoisyClips(), LEVEL, request.param)


def models(frames):
    task = AttentionTask(
        model=SSTN(Network(), Network(3), LEVEL.crop_hw, LEVEL.window_hw),
        frames=frames,
        batch_size=2,
        sub_batches=1,
        evaluation_batch=2,
        optimizer=optax.sgd,
    )
    variables = jax.tree.map(lambda leaf: leaf + 0.01, task.initial(0))
    return {name: Trained(task, variables, name) for name in ("attended", "hard_coded")}


def extracted(frames, trained, size):
    """All of the test clips', by name."""
    first, *batches = extract_features(frames, "test", trained, batch_size=size)
    assert all(len(features) <= size for batch in batches for features in batch.values())
    return first | {name: np.concatenate([batch[name] for batch in batches]) for name in trained}


def test_features_do_not_depend_on_the_batch(frames):
    found = {size: extracted(frames, models(frames), size) for size in (1, 3, 8, 11)}
    for size, features in found.items():
        assert set(features) == {"attended", "hard_coded", "lengths"}
        np.testing.assert_array_equal(features["lengths"], LENGTHS["test"])
        for name in ("attended", "hard_coded"):
            assert features[name].shape == (8, 36 * frames.channels)
            np.testing.assert_allclose(features[name], found[1][name], rtol=1e-4, atol=1e-4, err_msg=size)


def test_eight_devices_extract_as_one(frames, monkeypatch):
    trained = models(frames)
    expected = extracted(frames, trained, 3)
    monkeypatch.setattr(devices, "devices_at_work", lambda: tuple(jax.devices()))
    found = extracted(frames, trained, 8)
    for name in trained:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-4)


def test_features_are_those_of_the_regions(frames):
    trained = models(frames)
    found = extracted(frames, trained, 4)
    raw = frames.every_frame("test", np.arange(8))
    samples = frames.prepare(raw)
    task, variables, _ = trained["attended"]
    theta = task.theta(variables, raw, "attended")
    regions = task.model.apply({}, samples.frames, samples.top_left, theta, method="attend")
    np.testing.assert_allclose(found["attended"], regions.reshape(8, -1), rtol=1e-4, atol=1e-4)
    # The hard-coded one lies up to half a pixel aside, each clip's elsewhere, so it is not a copy.
    key = jax.random.key(0)
    for n, clip in enumerate([0, 0, 0, 1, 2, 2, 2, 2]):
        aside = jax.random.uniform(jax.random.fold_in(key, clip), (2,), minval=-1, maxval=1)
        theta = samples.theta_2[n : n + 1].at[..., 2].add(aside / 12)
        region = task.model.apply(
            {}, samples.frames[n : n + 1], samples.top_left[n : n + 1], theta, method="attend"
        )
        np.testing.assert_allclose(found["hard_coded"][n], region.ravel(), rtol=1e-4, atol=1e-4)


def test_control_regions_lie_up_to_half_a_pixel_aside(frames):
    task, variables, region = models(frames)["hard_coded"]
    raw = frames.every_frame("test", np.arange(8))
    samples = frames.prepare(raw)
    theta = task.theta(variables, raw, region)
    aside = np.abs(centre_of(theta, LEVEL.crop_hw) - centre_of(samples.theta_2, LEVEL.crop_hw))
    assert np.all(aside <= 0.5 + 1e-4)
    assert aside.max() > 0.25
