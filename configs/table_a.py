"""Table 1 of Shan & Atanasov 2017 at the paper's scale: 64x64 frames of MNIST's digits, 300 rounds.

  python train.py --config=configs/table_a.py --workdir=runs/table_a --config.data_dir=MNIST_FOLDER

Hardware: 12 GB of memory; for the DCN a GPU. On two CPU cores a pretraining step takes about 0.08 s (LeNet),
0.3 s (STN) and 3 s (DCN), so the paper's 9,375 steps need 13 minutes, 45 minutes and 8 hours; fewer with
--config.pretrain.steps.dcn=1000. The 300 rounds of one cell take half a minute. Result to expect: the paper's
numbers, which results.json and table.md hold beside the measured ones.
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.two_stage import paper_config


def get_config() -> Config:
    """The paper's settings as they are."""
    return paper_config()
