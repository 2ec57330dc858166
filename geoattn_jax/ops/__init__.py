"""Pure functions on arrays: grids, sampling, deformable convolution. The only place with coordinates."""

from geoattn_jax.ops import reference

__all__ = ["reference"]
