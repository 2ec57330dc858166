"""Table 2 of Liu, Wang & Kato 2019 on KitchenMini: STN and SSTN, three localizers, three levels, three runs.

  python train.py --config=configs/table_b2.py --workdir=runs/table_b2

With the smallest localizer more models stand beside STN and SSTN: at every level an STN whose theta layer
starts at the centre, and two controls, the same recognizer equally long trained from the same checkpoint on
the hard-coded regions (`hard_coded`) and on the regions around the panel that tells the classes apart
(`oracle`); at detail level also an STN whose theta layer starts small, and SSTN restricted to translations.
For larger localizers and the other levels these are left out to save time: 117 trainings instead of 207.

The three runs can be made side by side, each on a core of its own, and combined:

  python train.py --config=configs/table_b2.py --workdir=runs/table_b2_0 --config.runs=1 --config.seed=0
  ... and so with 1 and 2, then
  python -m geoattn_jax.experiments.combine runs/table_b2_0 runs/table_b2_1 runs/table_b2_2 \
      --output results/table_b2.json

Hardware: CPU cores. Time: 53 minutes a run on one core of four busy ones, with 3 GB of memory. Result:
README, where the rate of sstn_translation was 5e-4, not 2e-4 as now. The paper's accuracies are of MPII
Cooking's classes with VGG networks: compare the order of the columns alone.
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_2.experiment import kitchen_config


def get_config() -> Config:
    """The whole table, on a world that nothing was chosen by."""
    config = kitchen_config()
    config.world_seed = 2019
    return config
