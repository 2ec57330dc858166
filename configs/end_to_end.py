r"""Past the paper: new motions and new digits, rotated and scaled, by the two stages and by what generalizes.

  python train.py --config=configs/end_to_end.py --workdir=runs/end_to_end_0 \
      --config.data_dir=MNIST_FOLDER --config.seed=0

One run is one seed. With three of them,

  python -m geoattn_jax.experiments.combine runs/end_to_end_* --output=end_to_end.json

gives mean and spread. Hardware: two CPU cores. Time: three quarters of an hour, most of it for new digits.
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.end_to_end import base_config


def get_config() -> Config:
    """All systems under both protocols."""
    return base_config()
