r"""Past the paper: new motions and new digits, rotated and scaled, by three systems.

  python train.py --config=configs/end_to_end.py --workdir=runs/end_to_end_0 \
      --config.data_dir=MNIST_FOLDER --config.seed=0
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.end_to_end import base_config


def get_config() -> Config:
    """All systems under both protocols, for one seed."""
    return base_config()
