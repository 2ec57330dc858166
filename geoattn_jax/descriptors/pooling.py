"""Ways to make a descriptor of a clip of any length, by the names that configs give them.

A new one is one more entry of `POOLINGS`: a function of trajectories (b, t, d), lengths (b,) and sigma, the
unit of the features, to descriptors (b, p), p the same for all clips. What is in the frames after a clip's
length must not matter.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

from jaxtyping import Array, Float

from geoattn_jax.descriptors.similarity import Kind, Lengths, Sigma, Trajectories
from geoattn_jax.descriptors.temporal_correlation import temporal_correlation

Pooling = Callable[[Trajectories, Lengths, Sigma], Float[Array, "b p"]]


def _of_similarity(
    kind: Kind, trajectories: Trajectories, lengths: Lengths, sigma: Sigma
) -> Float[Array, "b p"]:
    return temporal_correlation(trajectories, lengths, kind=kind, sigma=sigma)


# Temporal correlation pooling by each way of comparing trajectories, the paper's "rbf" among them.
POOLINGS: dict[str, Pooling] = {kind: partial(_of_similarity, kind) for kind in get_args(Kind)}
