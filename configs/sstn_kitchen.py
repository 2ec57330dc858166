"""One cell of Table 2 of Liu, Wang & Kato 2019 on KitchenMini: detail level, small localizer, one run.

  python train.py --config=configs/sstn_kitchen.py --workdir=runs/sstn_kitchen

Hardware: CPU cores. Time: about eight minutes on one core. Result expected, by three runs of the same cell in
another world: SSTN before the recognizer on R_h, its region nearer to the hand or wider, and far before the
STN, of whose samples almost all lie outside; README has the numbers.
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.supervised_attention import kitchen_config


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
