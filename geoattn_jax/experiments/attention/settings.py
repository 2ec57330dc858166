"""The settings of the attention task's trainings, which both tables of paper B have."""

from geoattn_jax.data.levels import LEVEL_NAMES
from geoattn_jax.experiments.attention.control_regions import CROPS
from geoattn_jax.experiments.attention.networks import NETWORKS
from geoattn_jax.experiments.attention.published_weights import WEIGHTS_RULES
from geoattn_jax.experiments.attention.trainings import SCALES
from geoattn_jax.experiments.core import config as rules
from geoattn_jax.experiments.core.config import SUB_BATCHES, Rule
from geoattn_jax.training.optimizers import OPTIMIZERS
from geoattn_jax.training.schedules import SCHEDULES

# Of both phases, for each kind of frames that networks are trained on.
PHASES: dict[str, Rule] = {
    "dropout.localizer": rules.share().saying("share of the localizer's features that training drops"),
    "dropout.recognizer": rules.share().saying("share of the recognizer's features that training drops"),
    "guide.updates": rules.whole(1).saying("updates of guiding and the recognizer's pretraining"),
    "guide.crops": rules.one_of(CROPS).saying("where the recognizer's crops lie meanwhile"),
    "guide.localizer_rate": rules.positive().saying("the localizer's learning rate in guiding"),
    "guide.recognizer_rate": rules.positive().saying("the recognizer's learning rate meanwhile"),
    "guide.schedule": rules.one_of(SCHEDULES).saying("of both rates"),
    **{
        f"joint.updates.{level}": rules.whole(1).saying("updates of joint training at this level")
        for level in LEVEL_NAMES
    },
    **{
        f"joint.localizer_rate.{level}": rules.positive().saying(
            "the localizer's learning rate in joint training at this level"
        )
        for level in LEVEL_NAMES
    },
    "joint.recognizer_rate": rules.positive().saying("the recognizer's learning rate in joint training"),
    "joint.schedule": rules.one_of(SCHEDULES).saying("of both rates"),
}

TRAININGS: dict[str, Rule] = {
    "seed": rules.whole(0, 2**30).saying("of the first run; every further run has the next one"),
    "runs": rules.whole(1).saying("trainings of every cell, each with a seed of its own"),
    "scale": rules.one_of(SCALES).saying("sizes of frames, crops and regions: KitchenMini's or the paper's"),
    "levels": rules.some_of(LEVEL_NAMES).saying("how closely the networks look"),
    "recognizer": rules.one_of(NETWORKS).saying("the network that classifies the region"),
    "batch_size": rules.whole(1).saying("frames in an update"),
    "sub_batches": rules.whole(1).saying(SUB_BATCHES),
    "evaluation_batch": rules.whole(1).saying("frames that are evaluated at a time"),
    "optimizer": rules.one_of(OPTIMIZERS).saying("of both phases"),
    **WEIGHTS_RULES,
    "evaluate_every": rules.whole(1).saying("updates from one validation accuracy to the next"),
    **rules.DTYPE,
    **rules.RUNNING,
}
