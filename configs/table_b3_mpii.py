r"""Table 3 of Liu, Wang & Kato 2019 on MPII Cooking Activities, at the paper's scale.

  python train.py --config=configs/table_b3_mpii.py --workdir=runs/mpii --config.data.data_dir=FOLDER
"""

from ml_collections import config_dict

from geoattn_jax.experiments.config import Config
from geoattn_jax.experiments.six_streams import kitchen_streams_config


def get_config() -> Config:
    """The paper's settings, where it gives them."""
    config = kitchen_streams_config()
    config.data = {
        "source": "mpii_cooking",
        "size": "detail",
        "stride": 1,
        "background": True,
        "protocol": "fixed",
        "data_dir": config_dict.placeholder(str),
        "manual_dir": config_dict.placeholder(str),
    }
    config.scale, config.localizer, config.runs = "paper", "large", 1
    config.batch_size, config.sub_batches, config.evaluation_batch = 128, 64, 2
    config.optimizer = "momentum"
    for stream, recognizer in (("rgb", 0.85), ("flow", 0.5)):
        settings = config[stream]
        settings.dropout = {"localizer": 0.5, "recognizer": recognizer}
        settings.guide.crops = "random"
        settings.guide.localizer_rate, settings.guide.recognizer_rate = 1e-3, 1e-4
        settings.joint.localizer_rate, settings.joint.recognizer_rate = 1e-6, 1e-5
    config.pooling.components = 256
    return config
