r"""Table 3 of Liu, Wang & Kato 2019 on MPII Cooking Activities, at the paper's scale.

  python train.py --config=configs/table_b3_mpii.py --workdir=runs/mpii --config.data.data_dir=FOLDER \
      --config.weights.vgg_16=imagenet-vgg-verydeep-16.mat

FOLDER/downloads/manual holds the download, `annotations/detectionGroundtruth-1-0.csv` and `videos/*.avi` (or
name its place by --config.data.manual_dir=...); FOLDER gets what is made of it, once for all runs. The
protocol is `fixed`, seven test subjects at once; --config.data.protocol=fold_1 to fold_7 test on one of them
and train on all others, each in a workdir of its own, from which `python -m
geoattn_jax.experiments.combine` makes one table. --config.data.background=False leaves the
background class out: the paper does not say whether it counts.

VGG-16 localizes and recognizes 224 x 224 regions of Table 1's crops, up to 896 x 896; batches of 128, of
which a device takes two frames at a time, the paper's learning rates and dropout, 256 principal components.
How long the paper trained and by which optimizer it does not say. The weights learned on ImageNet are
MatConvNet's file or torchvision's state dict; without the flag the networks start with random ones.
Features are taken of every fourth frame, each with the ten flows around it; --config.data.stride=1 takes
all, as the paper does, and needs four times the disk for features.

Memory, measured at these sizes with one update a phase on 12 synthetic clips of 1624 x 1224 (detail level,
batches of 2, all on a CPU): 7.9 GiB in training, of which 4.2 lie on the device where there is one, by
calculation; a GPU with 16 GiB will do. Main memory then holds 3.7 GiB, 2.0 of them a network and its
momentum, which a checkpoint copies. Frames, features and descriptors are read some at a time: reading 12
clips took 1.15 GiB and 24 took 1.03; components and pooling of 280 clips took 1.1. Of what is held only the
scalar products of n training clips grow with their number: 24 n^2 bytes, 750 MB if all 5,609 clips trained.
Disk: 50 to 100 GB of frames and flow in FOLDER; in the workdir 45 GB of features, 18 GB of checkpoints, and
3 GB of descriptors, one level's at a time.

Time: the preparation takes 16 hours of one core. Then, of operations counted in the programs, 348 PFLOP of
training and 120 of features (results/mpii_scale.json). At 40% of the peak, which is assumed, that is 0.7
hours of an H100 and 2.1 of an A100 (TF32: 495 and 156 TFLOP/s), and 0.2 of a v5e-8 (197 TFLOP/s a chip).
Reading, by threads meanwhile, takes longer: at 20.6 ms a frame of RGB and 27.7 ms of flow, measured on a
core (BENCHMARKS.md), it is 24 hours of one core, or 1.5 of 16; 37 cores would keep up with the H100, 118 with
the v5e-8.

What has been run: the detail level at these sizes on synthetic videos, as above, with random weights; and
the whole program on four tiny videos in the same format. For want of the data it has not been run on them,
nor on a GPU. table_b3_mpii_mini.py is for CPU cores.
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
