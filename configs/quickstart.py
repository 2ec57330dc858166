"""Paper A in small: all three models under four conditions on scikit-learn's digits.

  python train.py --config=configs/quickstart.py --workdir=runs/quickstart

Hardware: two CPU cores. Time: five minutes. Result: that of results/quickstart.json, which
README shows; DCN-LSTM before LeNet-LSTM before STN-LSTM under every condition, as in the paper. The same
LSTMs are tested on the frames they were trained on (same_frames) and on those between (interleaved).
"""

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.digits.two_stage_plan import paper_config


def get_config() -> Config:
    """The paper's settings with small frames, short pretraining and fewer rounds."""
    config = paper_config()
    config.digits = "sklearn"
    config.frame_size = 32
    config.pretrain.steps.update(lenet=1000, stn=600, dcn=300, deform=300)
    config.pretrain.evaluate_every = 100
    config.lstm.rounds = 50
    config.checkpoint_every = 100
    return config
