"""A level's classifiers, from portions of descriptors: those of all descriptors side by side."""

import numpy as np
import pytest

from geoattn_jax.descriptors import fit_svm
from geoattn_jax.experiments.core.config import ConfigError
from geoattn_jax.experiments.table_3.classifiers import Descriptors, level_scores
from geoattn_jax.training import scattered, scattered_rows

LABELS = np.arange(20) % 3


def drawn(count, seed, width):
    """Descriptors as pooling gives them, of length 1."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, width)) + np.eye(3, width)[np.arange(count) % 3]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_scores_are_those_of_all_descriptors_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "BYTES_AT_ONCE", 200)
    rgb, flow = ([drawn(count, seed, 7 + seed) for count in (20, 9)] for seed in (0, 1))

    def stored(rows):
        order = np.random.default_rng(2).permutation(len(rows))
        return scattered_rows(
            tmp_path / "rows", len(rows), ((part, rows[part]) for part in np.array_split(order, 3))
        )

    with stored(rgb[0]) as a, stored(rgb[1]) as b, stored(flow[0]) as c, stored(flow[1]) as d:
        streams = {"rgb": Descriptors(a, b), "flow": Descriptors(c, d)}
        found = level_scores(streams, LABELS, num_classes=4, c=2.0, where="")
    both = [np.concatenate(pair, axis=1) for pair in zip(rgb, flow, strict=True)]
    expected = {"spatial": rgb, "temporal": flow, "spatial_temporal": both}
    assert found.keys() == expected.keys()
    for combination, (train, test) in expected.items():
        scores = fit_svm(train, LABELS, num_classes=4, c=2.0).scores(test)
        np.testing.assert_allclose(found[combination], scores, atol=1e-5)


def test_descriptors_that_do_not_do_are_told_by_their_stream():
    good, still = (Descriptors([one], [one]) for one in (drawn(20, 0, 7), np.ones((20, 7), np.float32)))
    with pytest.raises(ConfigError, match=r"the classifier of temporal, detail, sstn cannot .* must differ"):
        level_scores({"rgb": good, "flow": still}, LABELS, num_classes=3, c=1.0, where="detail, sstn")
