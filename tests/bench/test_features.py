"""The suite of the features of all frames in tiny sizes."""

import numpy as np
import pytest

from geoattn_jax.bench import features


@pytest.mark.parametrize("name", features.WORKLOADS)
def test_every_frame_has_features(name):
    (case,) = features.cases([name], smoke=True)
    (ours,) = case.contenders
    found = ours.arrays(ours.call())["features"]
    assert found.shape == (20, 128)
    assert np.all(found.std(axis=0).max() > 0)
