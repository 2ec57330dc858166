"""Table 2 of Liu, Wang & Kato 2019 on KitchenMini: STN and SSTN, three localizers, three levels, three runs.

  python train.py --config=configs/table_b2.py --workdir=runs/table_b2

Beside each SSTN stand the guided network before joint training, its translation-only variant, and two
controls: the same recognizer, equally long trained from the same checkpoint, on the hard-coded regions
(`hard_coded`) and on the regions around the hand (`oracle`).

Hardware: CPU cores. Time: 1000 updates with the small localizer took one to four minutes on a busy core; by
that the 207 trainings would take about half a day. Result: the whole table has not been run yet; results.json
and table.md hold the paper's numbers beside the measured ones. The paper's accuracies are of MPII Cooking's
classes with VGG-16, so that only the order of the columns can be compared.
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.supervised_attention import kitchen_config


def get_config() -> Config:
    """The whole table."""
    return kitchen_config()
