"""Training in phases: one loop that freezes, trains, checkpoints and resumes. Knows nothing of models."""

from geoattn_jax.training.cache import cached_arrays, read_array
from geoattn_jax.training.compilation_cache import use_compilation_cache
from geoattn_jax.training.loop import NonFiniteError, Trained, load_trained, train, trained_steps
from geoattn_jax.training.metrics import read_last_metrics, read_metrics
from geoattn_jax.training.parallel import PMAP_AXIS
from geoattn_jax.training.phase import Phase
from geoattn_jax.training.rows import StoredRows, stored_rows
from geoattn_jax.training.scattered import scattered_rows
from geoattn_jax.training.workdir import WorkdirError, open_workdir, read_config

__all__ = [
    "PMAP_AXIS",
    "NonFiniteError",
    "Phase",
    "StoredRows",
    "Trained",
    "WorkdirError",
    "cached_arrays",
    "load_trained",
    "open_workdir",
    "read_array",
    "read_config",
    "read_last_metrics",
    "read_metrics",
    "scattered_rows",
    "stored_rows",
    "train",
    "trained_steps",
    "use_compilation_cache",
]
