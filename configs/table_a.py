"""Table 1 of Shan & Atanasov 2017 at the paper's scale: 64x64 frames of MNIST's digits, 300 rounds.

python train.py --config=configs/table_a.py --workdir=runs/table_a --config.data_dir=MNIST_FOLDER
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.two_stage import paper_config


def get_config() -> Config:
    """The paper's settings as they are."""
    return paper_config()
