"""flax.linen modules over the ops: spatial transformer, deformable convolution, recurrent layer."""

from geoattn_jax.layers.deform_attention import DeformAttention
from geoattn_jax.layers.deform_conv import ConvOffset2D, DeformConv, offset_labels
from geoattn_jax.layers.dropout import Dropout
from geoattn_jax.layers.from_torch import deform_attention_params, deform_conv_params
from geoattn_jax.layers.local_response_norm import local_response_norm
from geoattn_jax.layers.lstm import VideoLSTM
from geoattn_jax.layers.pool import max_pool, overlapping_max_pool
from geoattn_jax.layers.remat import through_blocks
from geoattn_jax.layers.spatial_transformer import SpatialTransformer

__all__ = [
    "ConvOffset2D",
    "DeformAttention",
    "DeformConv",
    "Dropout",
    "SpatialTransformer",
    "VideoLSTM",
    "deform_attention_params",
    "deform_conv_params",
    "local_response_norm",
    "max_pool",
    "offset_labels",
    "overlapping_max_pool",
    "through_blocks",
]
