"""Six streams (Liu, Wang & Kato 2019) on your own videos, at KitchenMini's sizes; one run.

  python train.py --config=configs/video_folder.py --workdir=runs/video_folder --config.data.data_dir=FOLDER
  python eval.py --workdir=runs/video_folder --video=FILE

FOLDER holds a folder of videos for each class, at least three of each, or folders `train`, `test` and perhaps
`validation` that do. Frames are scaled to 170x128. The hard-coded regions, to which the localizers are
guided, are where the most motion is, so the camera should stand still as the paper's does. Needs the extra
`video`.

Hardware: CPU cores. Time: 15 minutes on one of four busy cores for 574 clips of ten frames. Result: average
precisions laid out as in Table 3, without the paper's numbers, which are of other videos.
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.table_3.experiment import kitchen_streams_config
from geoattn_jax.experiments.table_3.sources.registry import SOURCES


def get_config() -> Config:
    """One run, of half as many updates as on KitchenMini."""
    config = kitchen_streams_config()
    config.data = SOURCES["video_folder"].defaults()
    config.runs = 1
    for stream in (config.rgb, config.flow):
        stream.guide.updates = 500
        stream.joint.updates = dict.fromkeys(config.levels, 500)
    config.evaluate_every = 100
    return config
