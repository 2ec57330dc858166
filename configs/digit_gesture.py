"""The last row of Table 1 of Shan & Atanasov 2017, "digit gesture": elastic deformation.

python train.py --config=configs/digit_gesture.py --workdir=runs/digit_gesture --config.data_dir=MNIST_FOLDER
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.two_stage import paper_config


def get_config() -> Config:
    """The paper's settings with elastic deformation besides rotation and scaling."""
    config = paper_config()
    config.conditions = ("elastic",)
    return config
