"""The suite of input in tiny sizes."""

import sys

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra video")

from geoattn_jax.bench import input as suite
from geoattn_jax.bench import timing


@pytest.mark.parametrize(("name", "channels"), [("rgb", 3), ("flow", 20)])
def test_samples_are_read(name, channels):
    pytest.importorskip("tensorflow_datasets", reason="needs the extra tfds")
    for case in suite.cases([name], smoke=True):
        (ours,) = case.contenders
        assert ours.arrays(ours.call())["pictures"].shape == (8, 48, 64, channels)
        assert case.cpu_time
        assert not case.goals


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'geoattn-jax\[tfds,video\]'"):
        list(suite.cases(["rgb"], smoke=True))


def test_steps_agree_and_tell_for_how_long_they_wait():
    for case in suite.cases(["rgb-steps"], smoke=True):
        result = timing.measure(case, rounds=1)
        assert result["disagreement"] is None
        for contender in result["contenders"]:
            assert np.all([0 <= share <= 1 for share in contender["waits"].values()])
