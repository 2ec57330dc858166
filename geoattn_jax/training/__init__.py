"""Training in phases: one loop that freezes, trains, checkpoints and resumes. Knows nothing of models."""

from geoattn_jax.training.files import WorkdirError
from geoattn_jax.training.loop import NonFiniteError, Trained, train
from geoattn_jax.training.metrics import read_metrics
from geoattn_jax.training.phase import Phase
from geoattn_jax.training.workdir import open_workdir, read_config

__all__ = [
    "NonFiniteError",
    "Phase",
    "Trained",
    "WorkdirError",
    "open_workdir",
    "read_config",
    "read_metrics",
    "train",
]
