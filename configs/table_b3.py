"""Table 3 of Liu, Wang & Kato 2019 on KitchenMini: six streams of R_d and R_h, all frames.

python train.py --config=configs/table_b3.py --workdir=runs/table_b3
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.six_streams import kitchen_streams_config


def get_config() -> Config:
    """The whole table, five runs."""
    return kitchen_streams_config()
