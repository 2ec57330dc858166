r"""The last row of Table 1 of Shan & Atanasov 2017, "digit gesture": elastic deformation.

  python train.py --config=configs/digit_gesture.py --workdir=runs/digit_gesture \
      --config.data_dir=MNIST_FOLDER

Hardware and time are those of configs/table_a.py, whose pretraining it repeats; to have both in one run, add
"elastic" to that config's conditions.
Result: the published table has this row (see configs/table_a.py). The paper's number for the STN is likely a
misprint (LeNet's, to the last digit).
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.digits.two_stage_plan import program_config


def get_config() -> Config:
    """Those of configs/table_a.py with elastic deformation besides rotation and scaling."""
    config = program_config()
    config.conditions = ("elastic",)
    return config
