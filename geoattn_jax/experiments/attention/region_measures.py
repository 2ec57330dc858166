"""What a region is like: where it lies, how large it is, what it shows of what matters."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from geoattn_jax.ops.coordinates import normalize_coords
from geoattn_jax.ops.grid import affine_grid

GRID = 20  # rows and columns of points on a panel whose visibility is counted


class Measures(NamedTuple):
    """Of each region; NaN where there is no hand or no panel.

    Attributes:
      centre_distance: from its centre to the hard-coded region's, pixels of the crop.
      scale: its side as a fraction of the crop's (the root of the area).
      samples_outside: share of its pixels that lie outside of the crop.
      hand_distance: from its centre to the hand, pixels of the crop.
      panel_distance: from its centre to the level's panel, pixels of the crop.
      panel_visible: share of that panel that it shows.
    """

    centre_distance: Float[Array, " b"]
    scale: Float[Array, " b"]
    samples_outside: Float[Array, " b"]
    hand_distance: Float[Array, " b"]
    panel_distance: Float[Array, " b"]
    panel_visible: Float[Array, " b"]


OF_ANY_REGION = Measures._fields[:3]  # where there may be neither hand nor panel


def measure(
    theta: Float[Array, "b 2 3"],
    theta_2: Float[Array, "b 2 3"],
    hand: Float[Array, "b 2"],
    panel: Float[Array, "b 2"],
    *,
    crop_hw: tuple[int, int],
    region_hw: tuple[int, int],
    panel_hw: tuple[float, float],
) -> Measures:
    """Measures regions of a crop.

    Args:
      theta: the regions.
      theta_2: the hard-coded regions.
      hand: its centre (y, x), pixels of the crop; NaN where there is none.
      panel: likewise, of the panel on which the level's own cue is shown.
      crop_hw: height and width of the crop, pixels.
      region_hw: height and width of the region, pixels.
      panel_hw: height and width of the panel, pixels of the crop.
    """
    limits = jnp.array(crop_hw, theta.dtype) - 0.5
    coords = affine_grid(theta, input_hw=crop_hw, output_hw=region_hw)
    outside = ((coords < -0.5) | (coords > limits)).any(axis=-1)
    centre = centre_of(theta, crop_hw)
    return Measures(
        centre_distance=jnp.linalg.norm(centre - centre_of(theta_2, crop_hw), axis=-1),
        scale=jnp.sqrt(jnp.abs(_determinant(theta))),
        samples_outside=outside.mean(axis=(1, 2)),
        hand_distance=jnp.linalg.norm(centre - hand, axis=-1),
        panel_distance=jnp.linalg.norm(centre - panel, axis=-1),
        panel_visible=_share_shown(theta, panel, panel_hw, crop_hw),
    )


def centre_of(theta: Float[Array, "b 2 3"], crop_hw: tuple[int, int]) -> Float[Array, "b 2"]:
    """The region's centre (y, x), pixels of the crop."""
    return affine_grid(theta, input_hw=crop_hw, output_hw=(1, 1))[:, 0, 0]


def corners_of(theta: Float[Array, "b 2 3"], crop_hw: tuple[int, int]) -> Float[Array, "b 4 2"]:
    """The outer corners (y, x) of the region's corner pixels, one after another, pixels of the crop."""
    # With twice the scale the centres of 2 x 2 pixels are where the corners were.
    twice = theta * jnp.array([2, 2, 1], theta.dtype)
    corners = affine_grid(twice, input_hw=crop_hw, output_hw=(2, 2)).reshape(-1, 4, 2)
    return corners[:, jnp.array([0, 1, 3, 2])]


def _share_shown(
    theta: Float[Array, "b 2 3"],
    panel: Float[Array, "b 2"],
    panel_hw: tuple[float, float],
    crop_hw: tuple[int, int],
) -> Float[Array, " b"]:
    """The share of points on a panel whose place in the region, by the inverse of theta, is in [-1, 1]."""
    steps = (jnp.arange(GRID, dtype=theta.dtype) + 0.5) / GRID - 0.5
    steps = jnp.stack(jnp.meshgrid(*(length * steps for length in panel_hw), indexing="ij"), axis=-1)
    points = panel[:, None] + steps.reshape(1, -1, 2)
    place = normalize_coords(points, input_hw=crop_hw) - theta[:, None, :, 2]
    (xx, xy), (yx, yy) = jnp.moveaxis(theta[:, None, :, :2], (2, 3), (0, 1))
    determinant = _determinant(theta)[:, None]
    x = (yy * place[..., 0] - xy * place[..., 1]) / determinant
    y = (xx * place[..., 1] - yx * place[..., 0]) / determinant
    visible = (jnp.abs(x) <= 1) & (jnp.abs(y) <= 1)
    return jnp.where(jnp.isnan(panel[:, 0]), jnp.nan, visible.mean(axis=1))


def _determinant(theta: Float[Array, "b 2 3"]) -> Float[Array, " b"]:
    return theta[:, 0, 0] * theta[:, 1, 1] - theta[:, 0, 1] * theta[:, 1, 0]
