"""Geometric attention for video: differentiable sampling, deformable convolution, spatial transformers."""

from geoattn_jax.ops.grid import affine_grid, crop_theta
from geoattn_jax.ops.sample import bilinear_sample

__all__ = ["affine_grid", "bilinear_sample", "crop_theta"]
