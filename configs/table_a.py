"""Table 1 of Shan & Atanasov 2017 at the paper's scale: 64x64 frames of MNIST's digits, 300 rounds.

  python train.py --config=configs/table_a.py --workdir=runs/table_a --config.data_dir=MNIST_FOLDER

Hardware: for the DCN a GPU. Time on two busy CPU cores: a pretraining step took about 0.08 s (LeNet), 0.3 s
(STN) and 3 s (DCN), by which the paper's 9,375 steps would take 13 minutes, 45 minutes and 8 hours; to take
fewer, set --config.pretrain.steps.dcn=1000. The 300 rounds of one cell took half a minute. Result: the whole
table has not been run yet; results.json and table.md hold the paper's numbers beside the measured ones.
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.two_stage import paper_config


def get_config() -> Config:
    """The paper's settings as they are."""
    return paper_config()
