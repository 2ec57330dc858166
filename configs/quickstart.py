"""All three models under four conditions on scikit-learn's digits, in small frames.

python train.py --config=configs/quickstart.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """The settings; paper A's in small."""
    return ConfigDict(
        {
            "experiment": "two_stage",
            "seed": 0,
            "digits": "sklearn",
            "data_dir": config_dict.placeholder(str),
            "frame_size": 32,
            "models": ("lenet", "stn", "dcn"),
            "conditions": ("normal", "rotation", "scaling", "rotation_scaling"),
            "protocol": "interleaved",
            "pretrain": {
                "batch_size": 32,
                "learning_rate": 1.0,
                "steps": {"lenet": 1000, "stn": 1000, "dcn": 300, "deform": 300},
                "evaluate_every": 100,
            },
            "lstm": {"rounds": 100, "epochs": 10, "batch_size": 50, "units": 8, "learning_rate": 1e-3},
            "parallel": "jit",
            "log_every": 10,
            "checkpoint_every": 500,
            "tensorboard": False,
        }
    )
