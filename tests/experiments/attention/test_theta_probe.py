"""The probe finds a class that theta gives away, and none that it does not."""

import numpy as np

from geoattn_jax.experiments.attention.theta_probe import class_from_theta


def test_finds_what_theta_tells_and_no_more():
    rng = np.random.default_rng(0)
    labels, others = (rng.integers(0, 4, count).astype(np.int32) for count in (400, 100))

    def thetas(labels):
        theta = rng.normal(size=(len(labels), 2, 3)).astype(np.float32)
        theta[:, 0, 2] = np.where(labels >= 2, 3 * labels, 0)  # tells 2 and 3 apart, but not 0 and 1
        return theta

    correct = class_from_theta(thetas(labels), labels, thetas(others), others)
    assert correct[others >= 2].mean() > 0.95
    assert correct[others < 2].mean() < 0.75
