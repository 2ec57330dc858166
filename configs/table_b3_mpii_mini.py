"""Table 3 of Liu, Wang & Kato 2019 on MPII Cooking Activities, at a seventh of the size, with small networks.

  python train.py --config=configs/table_b3_mpii_mini.py --workdir=runs/mpii --config.data.data_dir=FOLDER

What FOLDER holds, and the protocols, are those of table_b3_mpii.py; networks and rates are those that
table_b3.py trains on KitchenMini, with 32 principal components.

Hardware: CPU cores; 7 GB of disk or more in FOLDER. Time: the preparation takes 5 hours of one core, by a
measurement on an enlarged video; the rest has not been run, for want of the data, except on four tiny videos
in the same format.
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_3.experiment import kitchen_streams_config
from geoattn_jax.experiments.table_3.sources.mpii import mpii_data


def get_config() -> Config:
    """KitchenMini's settings, one run."""
    config = kitchen_streams_config()
    config.data, config.runs = mpii_data("mini"), 1
    return config
