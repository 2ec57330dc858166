r"""SSTN at the paper's scale: VGG-16 localizes and recognizes 224 x 224 regions of 896 x 896 crops.

  python train.py --config=configs/sstn_paper_scale.py --workdir=runs/sstn_paper_scale \
      --config.weights.vgg_16=imagenet-vgg-verydeep-16.mat

The weights learned on ImageNet are MatConvNet's file or torchvision's state dict; without the flag the
networks start with random ones.

Batches of 128 by sub-batches of 2, the paper's learning rates and dropout. The frames are KitchenMini's,
enlarged to 1624 x 1224 as MPII Cooking's are: a test of the network's size, not of what it can learn. The
paper says neither how long it trained nor by which optimizer; momentum is the usual one for these networks.

Hardware: a GPU. Time: not run at full size yet. On four CPU cores an update of the joint phase at batch 2
took 2.4 s, with 5.8 GiB of memory in use at most: 3.0 in the update by XLA's own count, 2.0 of them
parameters and momentum, the rest the initial parameters and their copies. With --config.dtype=bfloat16
--config.remat=True larger sub-batches fit. To try it, an update of each phase:

  python train.py --config=configs/sstn_paper_scale.py --workdir=runs/one_step \
      --config.batch_size=2 --config.sub_batches=1 --config.guide.updates=1 --config.joint.updates.detail=1 \
      --config.clips.train=112 --config.clips.validation=14 --config.clips.test=42
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_2.experiment import kitchen_config


def get_config() -> Config:
    """The paper's settings, where it gives them."""
    config = kitchen_config()
    config.scale = "paper"
    config.levels, config.runs = ("detail",), 1
    config.localizers, config.recognizer = ("vgg_16",), "vgg_16"
    config.models.detail.vgg_16 = ("sstn",)
    config.batch_size, config.sub_batches, config.evaluation_batch = 128, 64, 2
    config.optimizer = "momentum"
    config.dropout = {"localizer": 0.5, "recognizer": 0.85}
    config.guide.crops = "random"
    config.guide.localizer_rate, config.guide.recognizer_rate = 1e-3, 1e-4
    config.joint.localizer_rate.detail, config.joint.recognizer_rate = 1e-6, 1e-5
    return config
