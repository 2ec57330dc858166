r"""Table 3 of Liu, Wang & Kato 2019 on MPII Cooking Activities, at the paper's scale.

  python train.py --config=configs/table_b3_mpii.py --workdir=runs/mpii --config.data.data_dir=FOLDER

FOLDER/downloads/manual holds the download, `annotations/detectionGroundtruth-1-0.csv` and `videos/*.avi` (or
name its place by --config.data.manual_dir=...); FOLDER gets what is made of it, once for all runs. The
protocol is `fixed`, seven test subjects at once; --config.data.protocol=fold_1 to fold_7 test on one of them
and train on all others, each in a workdir of its own. --config.data.background=False leaves the background
class out: the paper does not say whether it counts.

VGG-16 localizes and recognizes 224 x 224 regions of Table 1's crops, up to 896 x 896; batches of 128 by
sub-batches of 2, the paper's learning rates and dropout, 256 principal components. How long the paper trained
and by which optimizer it does not say; the networks here begin with random weights, without ImageNet's.

Hardware: a GPU with 16 GiB, and by calculation 64 GB of main memory: FC6 of 881,755 frames is 14 GB for each
network, and those of both networks of a stream are held. Disk: 120 to 250 GB of frames and flow in FOLDER,
170 GB of features in the workdir. --config.data.stride=4 divides all this by four; flow then leads over four
frames. Time: the preparation takes 15 hours of one core; the rest has not been run, for want of the data.
What has been run: the same program on four tiny videos in the same format, the preparation on an enlarged
video of 1624 x 1224, and the networks at this size on KitchenMini (sstn_paper_scale.py).

The same at a seventh of the size, with small networks, for CPU cores and 15 GB of disk:

  python train.py --config=configs/table_b3_mpii.py --workdir=runs/mpii_mini --config.data.data_dir=FOLDER \
      --config.data.size=mini --config.scale=mini --config.localizer=small --config.optimizer=adam \
      --config.batch_size=64 --config.sub_batches=1 --config.evaluation_batch=60
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
