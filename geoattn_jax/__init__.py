"""Geometric attention for video: differentiable sampling, deformable convolution, spatial transformers."""

from geoattn_jax.layers import ConvOffset2D, DeformAttention, DeformConv, SpatialTransformer, VideoLSTM
from geoattn_jax.ops.deform_attention import deform_attention
from geoattn_jax.ops.deform_conv import deform_conv2d, deform_conv3d
from geoattn_jax.ops.from_torchvision import (
    mask_from_torchvision,
    offsets_and_mask_from_dcnv2,
    offsets_from_torchvision,
)
from geoattn_jax.ops.grid import affine_grid, crop_theta
from geoattn_jax.ops.sample import bilinear_sample, grid_sample, offset_resample, sample

__all__ = [
    "ConvOffset2D",
    "DeformAttention",
    "DeformConv",
    "SpatialTransformer",
    "VideoLSTM",
    "affine_grid",
    "bilinear_sample",
    "crop_theta",
    "deform_attention",
    "deform_conv2d",
    "deform_conv3d",
    "grid_sample",
    "mask_from_torchvision",
    "offset_resample",
    "offsets_and_mask_from_dcnv2",
    "offsets_from_torchvision",
    "sample",
]
