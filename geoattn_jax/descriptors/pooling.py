"""Ways to make a descriptor of a clip of any length, by the names that configs give them.

A new one is one more entry of `POOLINGS`: a function of trajectories (b, t, d), lengths (b,) and, by name,
sigma, the unit of the features, to descriptors (b, p), with the same p for all clips. What is in the frames
after a clip's length must not matter.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

from jaxtyping import Array, Float

from geoattn_jax.descriptors.similarity import Kind
from geoattn_jax.descriptors.temporal_correlation import temporal_correlation

Pooling = Callable[..., Float[Array, "b p"]]  # (trajectories, lengths, *, sigma) -> descriptors

# Temporal correlation pooling by each way of comparing trajectories, the paper's "rbf" among them.
POOLINGS: dict[str, Pooling] = {kind: partial(temporal_correlation, kind=kind) for kind in get_args(Kind)}
