"""One cell of Table 2 of Liu, Wang & Kato 2019 on KitchenMini: detail level, small localizer, one run.

  python train.py --config=configs/sstn_kitchen.py --workdir=runs/sstn_kitchen

Hardware: CPU cores. Time: six minutes on one core. Result: results/sstn_kitchen.json, three runs
(--config.runs=3 --config.world_seed=4019): accuracies of 69% with SSTN, 40% with the recognizer on R_h and 7%
with the STN, all of whose samples lie outside.
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_2.experiment import kitchen_config


def get_config() -> Config:
    """Plain STN, SSTN before and after joint training, and the recognizer on the hard-coded regions."""
    config = kitchen_config()
    config.levels, config.localizers, config.runs = ("detail",), ("small",), 1
    config.models.detail.small = (
        "stn_default",
        "sstn_guided",
        "sstn",
        "sstn_translation_guided",
        "sstn_translation",
        "hard_coded",
    )
    return config
