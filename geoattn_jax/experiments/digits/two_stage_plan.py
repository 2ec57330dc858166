"""The settings of paper A's experiment, and the stages that read them."""

from ml_collections import config_dict

from geoattn_jax.data.digits import SOURCES, SPLITS, Split
from geoattn_jax.data.moving_digits import CONDITIONS, PROTOCOLS, MovingDigits
from geoattn_jax.data.scaled_digits import SHIFTS_IN
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import Config, ConfigError, Rule, check_sub_batches
from geoattn_jax.experiments.core.stages import WATCHING, Plan, Stage, make_plan
from geoattn_jax.experiments.digits.cnns import CNNS
from geoattn_jax.experiments.digits.lstm_rounds import num_updates
from geoattn_jax.layers.lstm import GATE_ACTIVATIONS
from geoattn_jax.training.optimizers import ELEMENTWISE, OPTIMIZERS
from geoattn_jax.training.schedules import SCHEDULES

RULES: dict[str, Rule] = {
    "experiment": rules.one_of(["two_stage"]).saying("pretraining, then LSTM rounds on frozen features"),
    "seed": rules.whole(0, 2**31 - 1).saying("of everything random"),
    "digits": rules.one_of(SOURCES).saying("which digits move"),
    "data_dir": rules.optional_text().saying("folder of MNIST's IDX files"),
    "frame_size": rules.whole(28).saying("height and width of frames, pixels"),
    "video.settings": rules.whole(1).saying("rotations and scales that a video shows one after another"),
    "video.frames_per_setting": rules.whole(1).saying("frames of a video under each of them"),
    "models": rules.some_of(CNNS).saying("the CNNs"),
    "conditions": rules.some_of(CONDITIONS).saying("what happens to the digits of a video"),
    "protocol": rules.one_of(PROTOCOLS).saying(
        "how test frames differ from those of training; interleaved tells same_frames as well"
    ),
    **{f"pretrain.steps.{name}": rules.whole(1).saying("updates of the CNN's pretraining") for name in CNNS},
    "pretrain.batch_size": rules.whole(1).saying("digits in an update"),
    "pretrain.sub_batches": rules.whole(1).saying(rules.SUB_BATCHES),
    "pretrain.learning_rate": rules.positive().saying("of pretraining"),
    "pretrain.optimizer": rules.one_of(OPTIMIZERS).saying("of pretraining"),
    "pretrain.schedule": rules.one_of(SCHEDULES).saying("of pretraining's rate"),
    "pretrain.shift_in": rules.one_of(SHIFTS_IN).saying(
        "whose pixels a digit is shifted by: the frame's, or those before its zoom, as the authors' program"
    ),
    "pretrain.evaluate_every": rules.whole(1).saying("updates from one test accuracy to the next"),
    "lstm.rounds": rules.whole(1).saying("independent trainings of the LSTM"),
    "lstm.epochs": rules.whole(1).saying("passes over the training videos in a round"),
    "lstm.batch_size": rules.whole(1).saying("videos in an update"),
    "lstm.sub_batches": rules.whole(1).saying(rules.SUB_BATCHES),
    "lstm.units": rules.whole(1).saying("of the LSTM"),
    "lstm.gate_activation": rules.one_of(GATE_ACTIVATIONS).saying(
        "of the LSTM's gates: the paper's, or the hard one of the authors' program"
    ),
    "lstm.learning_rate": rules.positive().saying("of the rounds"),
    "lstm.optimizer": rules.one_of(ELEMENTWISE).saying("of the rounds, one that works element by element"),
    "lstm.schedule": rules.one_of(SCHEDULES).saying("of the rounds' rate"),
    **rules.DTYPE,
    **rules.RUNNING,
}

OF_PRETRAINING = tuple(
    f"pretrain.{key}"
    for key in ("batch_size", "sub_batches", "learning_rate", "optimizer", "schedule", "shift_in")
)
DIGITS = ("seed", "digits", "frame_size")  # what single digits depend on
VIDEOS = (*DIGITS, "protocol", "video")


# The protocols that the table shows under each, with what the LSTMs are tested on: those of interleaved are
# trained as under same_frames, so that both come from one training.
TESTED_ON: dict[str, dict[str, Split]] = {
    "same_frames": {"same_frames": "train"},
    "interleaved": {"same_frames": "train", "interleaved": "test"},
    "new_motion": {"new_motion": "test"},
    "new_digits": {"new_digits": "test"},
}


def program_config() -> Config:
    """The paper's settings, but those of the authors' released program where it does otherwise."""
    config = paper_config()
    config.pretrain.shift_in = "source"
    config.lstm.gate_activation = "hard_sigmoid"
    return config


def paper_config() -> Config:
    """The paper's settings, from which the files in configs/ depart."""
    epochs, digits = 5, 60_000
    steps = epochs * digits // 32
    return Config(
        {
            "experiment": "two_stage",
            "seed": 0,
            "digits": "mnist",
            "data_dir": config_dict.placeholder(str),  # the folder of MNIST's IDX files
            "frame_size": 64,
            "video": {"settings": 10, "frames_per_setting": 5},
            "models": ("lenet", "stn", "dcn"),
            "conditions": ("normal", "rotation", "scaling", "rotation_scaling"),
            "protocol": "interleaved",
            "pretrain": {
                "batch_size": 32,
                "sub_batches": 1,
                "learning_rate": 1.0,
                "optimizer": "adadelta",
                "schedule": "constant",
                "steps": dict.fromkeys(CNNS, steps),
                "shift_in": "target",
                "evaluate_every": 500,
            },
            "lstm": {
                "rounds": 300,
                "epochs": 10,
                "batch_size": 50,
                "sub_batches": 1,
                "units": 8,
                "gate_activation": "sigmoid",
                "learning_rate": 1e-3,
                "optimizer": "rmsprop",
                "schedule": "constant",
            },
            "dtype": "float32",
            **rules.running_defaults(),
        }
    )


def stages(config: Config) -> list[Stage]:
    """Pretraining, the features of all frames, and the rounds."""
    found, lstm = [], config.lstm
    splits = [split for split in SPLITS if split in ("train", *TESTED_ON[config.protocol].values())]
    updates = num_updates(num_classes(config.protocol), epochs=lstm.epochs, batch_size=lstm.batch_size)
    for name in config.models:
        pretraining = Stage(
            f"{name}/pretrain",
            reads=(*DIGITS, "dtype", f"pretrain.steps.{name}", *OF_PRETRAINING),
            uses=("pretrain.evaluate_every", *WATCHING),
            data=("train",),
            steps=config.pretrain.steps[name],
        )
        found.append(pretraining)
        for condition in config.conditions:
            features = {
                split: Stage(
                    features_file(name, condition, split),
                    reads=VIDEOS,
                    after=(pretraining.path,),
                    data=(MovingDigits(condition, config.protocol, split).digits_split,),
                )
                for split in splits
            }
            rounds = Stage(
                f"{name}/{condition}/lstm",
                reads=("seed", "protocol", "dtype", "lstm"),
                uses=WATCHING,
                after=(features["train"].path,),
                steps=updates,
            )
            found += [*features.values(), rounds]
    return found


def make_two_stage_plan(config: Config) -> Plan:
    """The stages of a config."""
    return make_plan(config, stages(config), results=("models", "conditions", *VIDEOS), places=("data_dir",))


def check(config: Config) -> None:
    """Checks what the rules cannot say.

    Raises: ConfigError naming the key.
    """
    for group in ("pretrain", "lstm"):
        check_sub_batches(config, group)
    num_videos = num_classes(config.protocol)
    if num_videos % config.lstm.batch_size:
        raise ConfigError(
            f"config.lstm.batch_size must divide the {num_videos} training videos (one for each class of "
            f"the protocol {config.protocol!r}), got {config.lstm.batch_size}; give one of "
            f"{', '.join(str(size) for size in range(1, num_videos + 1) if num_videos % size == 0)}"
        )


def features_file(name: str, condition: str, split: Split) -> str:
    """Where the workdir has the features of a CNN."""
    return f"{name}/{condition}/{split}.npz"


def num_classes(protocol: str) -> int:
    """As many as there are videos, to train on and to test on."""
    return len(MovingDigits("normal", protocol, "train").classes)
