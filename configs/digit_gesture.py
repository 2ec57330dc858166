r"""The last row of Table 1 of Shan & Atanasov 2017, "digit gesture": elastic deformation.

  python train.py --config=configs/digit_gesture.py --workdir=runs/digit_gesture \
      --config.data_dir=MNIST_FOLDER

Hardware and time are those of configs/table_a.py, whose pretraining it repeats; to have both in one run, add
"elastic" to that config's conditions.
It has not been run at full size yet. results.json and table.md hold the paper's numbers beside the measured
ones; that for the STN is likely a misprint (LeNet's, to the last digit).
"""

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.two_stage import paper_config


def get_config() -> Config:
    """The paper's settings with elastic deformation besides rotation and scaling."""
    config = paper_config()
    config.conditions = ("elastic",)
    return config
