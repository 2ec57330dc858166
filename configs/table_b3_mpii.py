r"""Table 3 of Liu, Wang & Kato 2019 on MPII Cooking Activities, at the paper's scale.

  python train.py --config=configs/table_b3_mpii.py --workdir=runs/mpii --config.data.data_dir=FOLDER \
      --config.weights.vgg_16=imagenet-vgg-verydeep-16.mat

FOLDER/downloads/manual holds the download, `annotations/detectionGroundtruth-1-0.csv` and `videos/*.avi` (or
name its place by --config.data.manual_dir=...); FOLDER gets what is made of it, once for all runs. The
protocol is `fixed`, seven test subjects at once; --config.data.protocol=fold_1 to fold_7 test on one of them
and train on all others, each in a workdir of its own, from which `python -m
geoattn_jax.experiments.combine` makes one table. --config.data.background=False leaves the
background class out: the paper does not say whether it counts.

VGG-16 localizes and recognizes 224 x 224 regions of Table 1's crops, up to 896 x 896; batches of 128 by
sub-batches of 2, the paper's learning rates and dropout, 256 principal components. How long the paper trained
and by which optimizer it does not say. The weights learned on ImageNet are MatConvNet's file or torchvision's
state dict; without the flag the networks start with random ones.
Features are taken of every fourth frame, each with the ten flows around it; --config.data.stride=1 takes all,
as the paper does, and needs four times the memory and the disk for features.

Hardware: a GPU with 16 GiB and, by calculation, 32 GB of main memory: FC6 of 220,000 frames is 3.6 GB for
each network. Disk: 50 to 100 GB of frames and flow in FOLDER, 45 GB of features in the workdir. Time: the
preparation takes 16 hours of one core; the rest has not been run, for want of the data. What has been run:
the same program on four tiny videos in the same format, the preparation on an enlarged video of 1624 x 1224,
and the networks at this size on KitchenMini (sstn_paper_scale.py). table_b3_mpii_mini.py is for CPU cores.
"""

from geoattn_jax.data.levels import LEVEL_NAMES
from geoattn_jax.experiments.attention.phases import Dropout, Guide, Joint, phase_values
from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_3.experiment import kitchen_streams_config
from geoattn_jax.experiments.table_3.sources.mpii import mpii_data


def get_config() -> Config:
    """The paper's settings, where it gives them."""
    config = kitchen_streams_config()
    config.data = mpii_data("detail")
    config.scale, config.localizer, config.recognizer, config.runs = "paper", "vgg_16", "vgg_16", 1
    config.batch_size, config.sub_batches, config.evaluation_batch = 128, 64, 2
    config.optimizer = "momentum"
    for stream, recognizer in (("rgb", 0.85), ("flow", 0.5)):
        config[stream] = phase_values(
            Dropout(localizer=0.5, recognizer=recognizer),
            Guide(crops="random", recognizer_rate=1e-4),
            Joint(
                updates=dict.fromkeys(LEVEL_NAMES, 1000),
                localizer_rate=dict.fromkeys(LEVEL_NAMES, 1e-6),
                recognizer_rate=1e-5,
            ),
        )
    config.pooling.components = 256
    return config
