"""How alike the features of a clip change: S of temporal correlation pooling (Liu et al. 2019, section 3.4).

A *trajectory* is one feature over the frames of a clip. Frames are averaged over, never summed, so that clips
of any length have matrices that can be compared: a clip with every frame repeated has the same S.
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from geoattn_jax.ops.checks import check_array, check_choice, check_shape

Kind = Literal["rbf", "euclidean", "correlation", "covariance"]

RIDGE = 1e-3  # added to the diagonal, so that S is positive definite whatever the clip

Trajectories = Float[Array, "b t d"] | Float[np.ndarray, "b t d"]
Lengths = Int[Array, " b"] | Int[np.ndarray, " b"]
Sigma = float | Float[Array, ""]


def trajectory_similarity(
    trajectories: Trajectories, lengths: Lengths, *, kind: Kind = "rbf", sigma: Sigma | None = None
) -> Float[Array, "b d d"]:
    """The similarities of all pairs of a clip's trajectories, S (Liu et al. 2019, Eq. 3).

    With u = x / sigma for the features x, <.> the mean over the clip's frames, and D_ij^2 = <(u_i - u_j)^2>:

    - "rbf": exp(-D_ij^2 / 2), of full rank also where there are fewer frames than features;
    - "euclidean": D_ij, Eq. 3 as printed, divided by the root of the number of frames. With its diagonal of
      zeros it is not positive definite, though the paper says so;
    - "correlation": of u_i and u_j; a trajectory that does not change correlates with itself only;
    - "covariance": of u_i and u_j, divided by the number of frames, not by one less.

    All but "euclidean" are positive semi-definite; RIDGE = 1e-3 times the identity makes them positive
    definite, for a clip of one frame too.

    Args:
      trajectories: the features of each frame, any float dtype.
      lengths: frames of each clip; what is in the frames after them does not matter.
      kind: what S_ij is.
      sigma: the unit of the features, such as `median_distance`; needed by "rbf" and "covariance". A factor
        common to all of "euclidean", nothing to "correlation".

    Returns: S, symmetric, in the features' dtype. NaN for a clip with a NaN or infinite feature.
    Raises: ValueError if the shapes or dtypes disagree, kind is unknown, sigma is missing or not positive, or
      a length is not from 1 to t. Under `jit` lengths are not known: there one below 1 gives NaN.
    """
    trajectories, lengths, unit = checked("trajectory_similarity", trajectories, lengths, kind, sigma)
    with jax.enable_x64(True):
        return similarity(trajectories, lengths, unit, kind).astype(trajectories.dtype)


def median_distance(trajectories: Trajectories, lengths: Lengths) -> float:
    """The median distance of two trajectories of a clip, over all pairs of all clips: sigma of "rbf".

    Distances are D_ij of `trajectory_similarity` in the features' own unit. Some hundred clips of the
    training set say as much as all of them; each takes about 4 * 8 d^2 bytes.

    Args:
      trajectories: the features of each frame, at least two, any float dtype.
      lengths: frames of each clip.

    Returns: the median, positive.
    Raises: ValueError if the shapes or dtypes disagree, a length is not from 1 to t, a feature is NaN or
      infinite, or the median is zero.
    """
    return median_of(pair_distances(trajectories, lengths))


def pair_distances(trajectories: Trajectories, lengths: Lengths) -> Float[np.ndarray, "b pairs"]:
    """What `median_distance` takes the median of, for some of the clips, in float64; raises as that does."""
    trajectories, lengths, unit = checked("median_distance", trajectories, lengths, "euclidean", sigma=None)
    with jax.enable_x64(True):
        distances = np.asarray(similarity(trajectories, lengths, unit, "euclidean"))
    rows, columns = np.triu_indices(distances.shape[-1], k=1)
    pairs = distances[:, rows, columns]
    if pairs.size == 0:
        raise ValueError(
            f"median_distance: trajectories must have a clip and two features, got shape {trajectories.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(pairs).all(axis=1))
    if bad.size:
        raise ValueError(
            f"median_distance: trajectories must be finite, got NaN or infinity in {bad.size} clips, "
            f"the first is clip {bad[0]}"
        )
    return pairs


def median_of(distances: Float[np.ndarray, "b pairs"]) -> float:
    """The median distance, from those of all clips by `pair_distances`; see `median_distance`."""
    median = float(np.median(distances))
    if median == 0:
        raise ValueError(
            "median_distance: the median distance is 0: half of the pairs of trajectories or more are equal; "
            "leave out features that are the same in all frames (a PCA of fewer components does)"
        )
    return median


def checked(
    function: str, trajectories: Trajectories, lengths: Lengths, kind: str, sigma: Sigma | None
) -> tuple[Float[Array, "b t d"], Int[Array, " b"], Float[Array, ""]]:
    """The arguments as JAX's arrays, sigma in float64.

    Raises: ValueError as `trajectory_similarity` does.
    """
    trajectories = jnp.asarray(trajectories)
    check_array(function, "trajectories", trajectories, "b t d")
    check_shape(
        function, "lengths", lengths, trajectories.shape[:1],
        because=f"(one for each clip of trajectories of shape {trajectories.shape})",
        remedy="give the number of frames of each clip",
    )  # fmt: skip
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"{function}: lengths must be whole numbers, got {lengths.dtype}")
    if not isinstance(lengths, jax.core.Tracer):
        _check_lengths(function, np.asarray(lengths), trajectories.shape[1])
    check_choice(function, "kind", kind, get_args(Kind))
    if sigma is None and kind in ("rbf", "covariance"):
        raise ValueError(
            f"{function}: sigma must be given for kind {kind!r}; take the training clips' median_distance"
        )
    unit = 1.0 if sigma is None else sigma
    if not isinstance(unit, jax.core.Tracer) and not 0 < float(unit) < float("inf"):
        raise ValueError(f"{function}: sigma must be positive and finite, got {sigma}")
    with jax.enable_x64(True):
        return trajectories, jnp.asarray(lengths), jnp.asarray(unit, jnp.float64)


def _check_lengths(function: str, lengths: np.ndarray, num_frames: int) -> None:
    bad = np.flatnonzero((lengths < 1) | (lengths > num_frames))
    if bad.size:
        raise ValueError(
            f"{function}: lengths must be from 1 to the {num_frames} frames of trajectories, "
            f"got {lengths[bad[0]]} for clip {bad[0]}; leave out clips without frames"
        )


@partial(jax.jit, static_argnames="kind")
def similarity(
    trajectories: Float[Array, "b t d"], lengths: Int[Array, " b"], unit: Float[Array, ""], kind: Kind
) -> Float[Array, "b d d"]:
    """S in float64."""
    features = trajectories.astype(jnp.float64)
    held = jnp.arange(features.shape[1], dtype=jnp.int32) < lengths.astype(jnp.int32)[:, None]
    if kind in ("rbf", "euclidean"):
        matrix = _squared_distances(features, held, unit)
        matrix = jnp.exp(-matrix / 2) if kind == "rbf" else jnp.sqrt(matrix)
    else:
        matrix = _covariance(features, held, unit)
        if kind == "correlation":
            matrix = _correlation(matrix)
    if kind != "euclidean":
        matrix += RIDGE * jnp.eye(features.shape[-1])
    finite = jnp.all(jnp.isfinite(matrix), axis=(1, 2), keepdims=True)
    return jnp.where(finite, matrix, jnp.nan)


def _squared_distances(
    features: Float[Array, "b t d"], held: Bool[Array, "b t"], unit: Float[Array, ""]
) -> Float[Array, "b d d"]:
    # The same trajectory taken from all leaves their distances, and makes those of equal ones exactly zero.
    products = _mean_products((features - features[:, :, :1]) / unit, held)
    squares = jnp.diagonal(products, axis1=1, axis2=2)
    return jnp.maximum(squares[:, :, None] + squares[:, None, :] - 2 * products, 0)


def _covariance(
    features: Float[Array, "b t d"], held: Bool[Array, "b t"], unit: Float[Array, ""]
) -> Float[Array, "b d d"]:
    # With its first number taken, a trajectory that does not change is exactly zero.
    changes = jnp.where(held[:, :, None], (features - features[:, :1]) / unit, 0)
    means = jnp.sum(changes, axis=1, keepdims=True) / _counts(held)
    return _mean_products(changes - means, held)


def _correlation(covariance: Float[Array, "b d d"]) -> Float[Array, "b d d"]:
    variances = jnp.diagonal(covariance, axis1=1, axis2=2)
    constant = variances == 0
    scale = jnp.where(constant, 0, 1 / jnp.sqrt(variances))
    itself = jnp.eye(covariance.shape[-1]) * constant[:, None, :].astype(covariance.dtype)
    return covariance * scale[:, :, None] * scale[:, None, :] + itself


def _mean_products(features: Float[Array, "b t d"], held: Bool[Array, "b t"]) -> Float[Array, "b d d"]:
    """The mean of u_i u_j over the frames that the clip holds, exactly symmetric."""
    features = jnp.where(held[:, :, None], features, 0)
    products = jnp.einsum("bti,btj->bij", features, features) / _counts(held)
    return (products + jnp.swapaxes(products, 1, 2)) / 2


def _counts(held: Bool[Array, "b t"]) -> Float[Array, "b 1 1"]:
    return jnp.sum(held, axis=1, dtype=jnp.float64)[:, None, None]
