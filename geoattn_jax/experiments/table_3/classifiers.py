"""One level's classifiers: what the scores of the test clips are by each combination of streams."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geoattn_jax.data.flow import Stream
from geoattn_jax.descriptors import clip_products, fit_svm_to_products
from geoattn_jax.descriptors.products import Portions
from geoattn_jax.experiments.table_3.checks import saying_where
from geoattn_jax.experiments.table_3.scores import COMBINATIONS


class Descriptors(NamedTuple):
    """Of the training and of the test clips, some clips at a time; they are iterated over more than once."""

    train: Portions
    test: Portions


def level_scores(
    streams: Mapping[Stream, Descriptors],
    labels: Int[np.ndarray, " n"],
    *,
    num_classes: int,
    c: float,
    where: str,
) -> dict[str, Float[np.ndarray, "m classes"]]:
    """The scores of the test clips, by the name of the combination.

    In memory are the scalar products of the training clips, for each stream and for both together: 24 n^2
    bytes, 750 MB of 5,609 clips. The descriptors are read in portions.

    Args:
      streams: each stream's descriptors.
      labels: of the training clips.
      num_classes: how many classes there are.
      c: the classifiers' penalty.
      where: which level and model, for errors.

    Raises: ConfigError if the descriptors do not do for a classifier.
    """
    products = {}
    for stream, descriptors in streams.items():
        with saying_where(f"the classifiers of {stream}, {where}"):
            products[stream] = clip_products(descriptors.train)
    scores = {}
    for combination, together in COMBINATIONS.items():
        with saying_where(f"the classifier of {combination}, {where}"):
            parts = [products[stream] for stream in together]
            classifiers = fit_svm_to_products(parts, labels, num_classes=num_classes, c=c)
            scores[combination] = sum(
                classifier.scores_in_portions(streams[stream].test)
                for classifier, stream in zip(classifiers, together, strict=True)
            )
    return scores
