"""The stages of supervised attention's trainings: which settings guiding and joint training read."""

from geoattn_jax.data.levels import LevelName
from geoattn_jax.experiments.attention.trainings import MODELS, guide_folder, joint_folder
from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.stages import WATCHING, Stage

# Of all trainings.
OF_TRAINING = ("scale", "recognizer", "dropout", "dtype", "batch_size", "sub_batches", "optimizer", "weights")
OF_ALL_LEVELS = ("joint.recognizer_rate", "joint.schedule")
EVALUATION = ("evaluation_batch", "evaluate_every")  # while training goes on, on validation frames


def training_stages(
    config: Config,
    level: LevelName,
    localizer: str,
    name: str,
    seed: int,
    *,
    frames: tuple[str, ...],
    evaluation_frames: tuple[str, ...],
) -> list[Stage]:
    """Of one model: its guiding, which models share, and its joint training if it has any.

    Args:
      config: with the settings of both phases.
      level, localizer, name, seed: of the training.
      frames: the keys on which the training frames depend.
      evaluation_frames: those on which other splits' frames do.
    """
    model, reads = MODELS[name], (*OF_TRAINING, *frames)
    uses = (*EVALUATION, *evaluation_frames, *WATCHING)
    guide = Stage(
        guide_folder(level, localizer, model.mode, seed),
        reads=(*reads, "guide"),
        uses=uses,
        data=("train",),
        steps=config.guide.updates * config.sub_batches,
    )
    if not model.joint:
        return [guide]
    of_level = (f"joint.updates.{level}", f"joint.localizer_rate.{level}", *OF_ALL_LEVELS)
    joint = Stage(
        joint_folder(level, localizer, name, seed),
        reads=(*reads, *of_level),
        uses=uses,
        after=(guide.path,),
        data=("train",),
        steps=config.joint.updates[level] * config.sub_batches,
    )
    return [guide, joint]
