r"""Table 3 of Liu, Wang & Kato 2019 on KitchenMini: six streams of R_d and R_h, all frames, five runs.

  python train.py --config=configs/table_b3.py --workdir=runs/table_b3

RGB frames and optical flow, each at three levels, each seen by an SSTN (R_d) and by a CNN on the hard-coded
regions (R_h): twelve networks a run, of which two and two share the guided start. Their FC6 features of all
frames of a clip are pooled to a descriptor, and a linear SVM of each level scores it. The flow is the scenes'
own; each frame is seen with all ten flows of its clip.

The runs can be made side by side, each on a core of its own with 2.5 GB of memory, and combined:

  python train.py --config=configs/table_b3.py --workdir=runs/table_b3_0 --config.runs=1 --config.seed=0
  ... and so with 1 to 4, then
  python -m geoattn_jax.experiments.combine runs/table_b3_0 runs/table_b3_1 runs/table_b3_2 \
      runs/table_b3_3 runs/table_b3_4 --output results/table_b3.json

Hardware: CPU cores. Time: 45 minutes for each of five runs on one of four busy cores. Result:
results/table_b3.json and README. Both streams together are above each alone, as classes of motion show in
the flow and those of texture and context in RGB; late fusion is above the best level; R_d is above R_h by
far where R_h cuts off what tells the classes apart, at all levels in RGB and at the detail level in the
flow. At its general level both show all that moves, and are equal. The paper's numbers are of MPII Cooking
with VGG-16: compare the order alone.
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_3.experiment import kitchen_streams_config


def get_config() -> Config:
    """The whole table, on a world that nothing was chosen by."""
    config = kitchen_streams_config()
    config.data.world_seed = 3019
    return config
