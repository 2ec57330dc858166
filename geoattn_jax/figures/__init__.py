"""The papers' figures, drawn from arrays: every function writes one PNG file and returns the figure in it."""

from geoattn_jax.figures.annotated import annotated_strip
from geoattn_jax.figures.confusion import confusion_matrix
from geoattn_jax.figures.curves import learning_curves
from geoattn_jax.figures.deformation import elastic
from geoattn_jax.figures.frames import attended_regions, sample_sequences, transformer_pairs
from geoattn_jax.figures.motion import level_crops, motion_window
from geoattn_jax.figures.outlines import region_outlines
from geoattn_jax.figures.sampling import sampling_points

__all__ = [
    "annotated_strip",
    "attended_regions",
    "confusion_matrix",
    "elastic",
    "learning_curves",
    "level_crops",
    "motion_window",
    "region_outlines",
    "sample_sequences",
    "sampling_points",
    "transformer_pairs",
]
