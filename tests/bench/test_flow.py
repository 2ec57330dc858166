"""The suite of optical flow in tiny sizes."""

import pytest

pytest.importorskip("cv2", reason="needs the extra video")

from geoattn_jax.bench import flow


@pytest.mark.parametrize("name", flow.WORKLOADS)
def test_flow_is_computed(name):
    (case,) = flow.cases([name], smoke=True)
    (ours,) = case.contenders
    found = ours.arrays(ours.call())["flow"]
    assert found.shape == (3, 128, 170, 2)
    assert abs(found).max() > 0.5
    assert not case.goals
