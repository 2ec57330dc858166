"""Measures of regions, against windows whose measures are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax.experiments.attention.region_measures import centre_of, corners_of, measure

CROP_HW, REGION_HW = (64, 96), (16, 24)

MEASURE = jax.jit(partial(measure, crop_hw=CROP_HW, region_hw=REGION_HW, panel_hw=(10.0, 5.0)))


def window(top_left, size=REGION_HW):
    (y, x), (height, width) = top_left, size
    scale_y, scale_x = height / CROP_HW[0], width / CROP_HW[1]
    shift_y, shift_x = (2 * y + height) / CROP_HW[0] - 1, (2 * x + width) / CROP_HW[1] - 1
    return jnp.array([[[scale_x, 0, shift_x], [0, scale_y, shift_y]]])


def measures(theta, hand=(20.0, 30.0), panel=(20.0, 30.0), theta_2=None):
    theta_2 = theta if theta_2 is None else theta_2
    found = MEASURE(theta, theta_2, np.array([hand], np.float32), np.array([panel], np.float32))
    return {name: float(value[0]) for name, value in found._asdict().items()}


def test_a_window():
    theta = window((10.0, 20.0))  # pixels 10 to 25 and 20 to 43
    np.testing.assert_allclose(centre_of(theta, CROP_HW), [[17.5, 31.5]], rtol=1e-6)
    corners = [[9.5, 19.5], [9.5, 43.5], [25.5, 43.5], [25.5, 19.5]]
    np.testing.assert_allclose(corners_of(theta, CROP_HW)[0], corners, rtol=1e-5)
    found = measures(theta, hand=(17.5, 31.5), panel=(18.5, 31.5), theta_2=window((13.0, 16.0)))
    expected = {
        "centre_distance": 5.0,
        "scale": 0.25,
        "samples_outside": 0.0,
        "hand_distance": 0.0,
        "panel_distance": 1.0,
    }
    assert found.items() >= {name: pytest.approx(value, abs=1e-5) for name, value in expected.items()}.items()
    assert found["panel_visible"] == 1.0


@pytest.mark.parametrize(
    ("panel", "visible"),
    [((9.5, 30.5), 0.5), ((25.5, 43.5), 0.25), ((60.0, 80.0), 0.0), ((np.nan, np.nan), np.nan)],
)
def test_the_visible_share_of_a_panel(panel, visible):
    found = measures(window((10.0, 20.0)), panel=panel)
    np.testing.assert_equal(found["panel_visible"], visible)
    assert np.isnan(found["panel_distance"]) == np.isnan(visible)
    assert not np.isnan(found["hand_distance"])


@pytest.mark.parametrize(
    ("top_left", "outside"),
    [((0.0, 0.0), 0.0), ((-4.0, 0.0), 0.25), ((-4.0, 84.0), 1 - 0.75 * 0.5), ((70.0, 0.0), 1.0)],
)
def test_samples_outside(top_left, outside):
    assert measures(window(top_left))["samples_outside"] == pytest.approx(outside)


def test_a_turned_region_shows_what_lies_in_it():
    """Against a count of the panel's points one by one."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = rng.normal(size=(2, 2)) * 0.4
        shift = rng.uniform(-0.5, 0.5, 2)
        theta = jnp.asarray(np.concatenate([matrix, shift[:, None]], axis=1)[None], jnp.float32)
        panel = rng.uniform(10, 50, 2)
        count = 0
        for y in panel[0] + (np.arange(20) - 9.5) / 2:
            for x in panel[1] + (np.arange(20) - 9.5) / 4:
                source = np.array([(2 * x + 1) / 96 - 1, (2 * y + 1) / 64 - 1])
                count += np.abs(np.linalg.solve(matrix, source - shift)).max() <= 1
        found = measures(theta, panel=tuple(panel))
        assert found["panel_visible"] == pytest.approx(count / 400, abs=0.003)  # float32 at the region's edge
        assert found["scale"] == pytest.approx(np.sqrt(abs(np.linalg.det(matrix))), rel=1e-4)


def test_a_collapsed_region_shows_nothing():
    found = measures(jnp.zeros((1, 2, 3)))
    assert (found["scale"], found["panel_visible"]) == (0.0, 0.0)
