"""Table 2 of Liu, Wang & Kato 2019 on KitchenMini: STN and SSTN, three localizers, three levels, three runs.

  python train.py --config=configs/table_b2.py --workdir=runs/table_b2

Beside each SSTN stand the guided network before joint training, its translation-only variant, and two
controls: the same recognizer, equally long trained from the same checkpoint, on the hard-coded regions
(`hard_coded`) and on the regions around the hand (`oracle`).

Hardware: CPU cores. Time: HOURS. Result: RESULT
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.supervised_attention import kitchen_config


def get_config() -> Config:
    """The whole table."""
    return kitchen_config()
