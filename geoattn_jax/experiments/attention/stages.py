"""The stages of supervised attention's trainings: which settings guiding and joint training read."""

from geoattn_jax.data.levels import LevelName
from geoattn_jax.experiments.attention.phases import Section
from geoattn_jax.experiments.attention.trainings import MODELS, guide_folder, joint_folder
from geoattn_jax.experiments.core.config import Config, restrict
from geoattn_jax.experiments.core.stages import WATCHING, Stage

# Of all trainings.
OF_TRAINING = ("scale", "recognizer", "dtype", "batch_size", "sub_batches", "optimizer", "weights")
OF_ALL_LEVELS = ("joint.recognizer_rate", "joint.schedule")
EVALUATION = ("evaluation_batch", "evaluate_every")  # while training goes on, on validation frames


def level_settings(config: Config, section: Section) -> Config:
    """What all trainings of a level read, see `AttentionLevel`."""
    return restrict(config, (*OF_TRAINING, section.key("dropout"), *EVALUATION, *WATCHING))


def training_stages(
    config: Config,
    section: Section,
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
      config: with the settings of both phases in a section.
      section: which.
      level, localizer, name, seed: of the training.
      frames: the keys on which the training frames depend.
      evaluation_frames: those on which other splits' frames do.
    """
    model, reads = MODELS[name], (*OF_TRAINING, section.key("dropout"), *frames)
    uses = (*EVALUATION, *evaluation_frames, *WATCHING)
    guide = Stage(
        section.path(guide_folder(level, localizer, model.mode, seed)),
        reads=(*reads, section.key("guide")),
        uses=uses,
        data=("train",),
        steps=section.guide(config).updates,
    )
    if not model.joint:
        return [guide]
    of_level = (f"joint.updates.{level}", f"joint.localizer_rate.{level}", *OF_ALL_LEVELS)
    joint = Stage(
        section.path(joint_folder(level, localizer, name, seed)),
        reads=(*reads, *map(section.key, of_level)),
        uses=uses,
        after=(guide.path,),
        data=("train",),
        steps=section.joint(config).updates[level],
    )
    return [guide, joint]
