"""All trainings of one level: which models there are, what they start from, where they are kept."""

import dataclasses
from collections.abc import Sequence
from functools import partial

from geoattn_jax.data.levels import LEVELS, PAPER_LEVELS
from geoattn_jax.experiments.attention.control_regions import Region
from geoattn_jax.experiments.attention.networks import network
from geoattn_jax.experiments.attention.phases import Section
from geoattn_jax.experiments.attention.published_weights import with_weights
from geoattn_jax.experiments.attention.task import AttentionTask, FrameSource, Variables
from geoattn_jax.experiments.core.config import Config, computation
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.experiments.core.stages import Plan
from geoattn_jax.layers.spatial_transformer import ThetaMode
from geoattn_jax.models.sstn import SSTN, ThetaStart
from geoattn_jax.training import PMAP_AXIS, Phase
from geoattn_jax.training.optimizers import OPTIMIZERS


@dataclasses.dataclass(frozen=True)
class Model:
    """A column of the table.

    Attributes:
      mode: which transformations theta can be.
      start: how the theta layer starts.
      guided: whether the localizer starts joint training guided, or as initialized.
      joint: whether there is joint training at all.
      region: what the recognizer sees; "hard_coded" and "oracle" are controls without a localizer.
    """

    mode: ThetaMode = "affine"
    start: ThetaStart = "centred"
    guided: bool = True
    joint: bool = True
    region: Region = "attended"


MODELS = {
    "stn_default": Model(start="default", guided=False),
    "stn_small": Model(start="small", guided=False),
    "stn_centred": Model(guided=False),
    "sstn_guided": Model(joint=False),
    "sstn": Model(),
    "sstn_translation_guided": Model(mode="translation", joint=False),
    "sstn_translation": Model(mode="translation"),
    "hard_coded": Model(region="hard_coded"),
    "oracle": Model(region="oracle"),
}
SCALES = {"mini": LEVELS, "paper": PAPER_LEVELS}


@dataclasses.dataclass(frozen=True)
class AttentionLevel:
    """The trainings of one level.

    Attributes:
      plan: the stages of the experiment, with the settings that each may read.
      config: what all trainings read; see `attention.stages.level_settings`.
      frames: what is trained and evaluated on.
      fitting: trains, or reads what was trained.
      section: of the config, by which the phases are set.
    """

    plan: Plan
    config: Config
    frames: FrameSource
    fitting: Fitting
    section: Section

    @property
    def name(self) -> str:
        """Of the level."""
        return self.frames.level.name

    def task(self, localizer: str, *, mode: ThetaMode, start: ThetaStart) -> AttentionTask:
        """A network and what it is trained on."""
        config, level = self.config, self.frames.level
        dropout = self.section.dropout(config)
        axis_name = PMAP_AXIS if config.parallel == "pmap" else None
        make = partial(network, axis_name=axis_name, **computation(config))
        model = SSTN(
            make(localizer, dropout_rate=dropout.localizer),
            make(config.recognizer, self.frames.num_classes, dropout_rate=dropout.recognizer),
            crop_hw=level.crop_hw,
            region_hw=level.window_hw,
            mode=mode,
            start=start,
        )
        return AttentionTask(
            model=model,
            frames=self.frames,
            batch_size=config.batch_size,
            sub_batches=config.sub_batches,
            evaluation_batch=config.evaluation_batch,
            optimizer=OPTIMIZERS[config.optimizer],
        )

    def initial(self, task: AttentionTask, seed: int) -> Variables:
        """Random ones, with published weights where the config names them."""
        variables = task.initial(seed)
        if self.config.scale != "paper" or not self.fitting.trains:
            return variables
        weights, channels = self.config.weights, self.frames.channels
        return {
            **variables,
            "params": with_weights(variables["params"], task.model, weights, channels=channels),
        }

    def guided(self, localizer: str, mode: ThetaMode, seed: int) -> Variables:
        """After the first phase: a guided localizer and a pretrained recognizer."""
        task = self.task(localizer, mode=mode, start="centred")
        folder = self.section.path(guide_folder(self.name, localizer, mode, seed))
        settings = self.plan.settings(folder)
        guide = self.section.guide(settings)
        phase = task.guide(**dataclasses.asdict(guide), evaluate_every=settings.evaluate_every)
        return self._fit(folder, [phase], self.initial(task, seed), seed)

    def trained(self, localizer: str, name: str, seed: int) -> tuple[AttentionTask, Variables]:
        """A model after all its phases."""
        model = MODELS[name]
        task = self.task(localizer, mode=model.mode, start=model.start)
        start = self.guided(localizer, model.mode, seed)
        if not model.guided:
            start = _with_recognizer(self.initial(task, seed), start)
        if not model.joint:
            return task, start
        folder = self.section.path(joint_folder(self.name, localizer, name, seed))
        settings = self.plan.settings(folder)
        joint = self.section.joint(settings)
        phase = task.joint(
            updates=joint.updates[self.name],
            region=model.region,
            localizer_rate=joint.localizer_rate[self.name],
            recognizer_rate=joint.recognizer_rate,
            schedule=joint.schedule,
            evaluate_every=settings.evaluate_every,
        )
        return task, self._fit(folder, [phase], start, seed)

    def _fit(self, folder: str, phases: Sequence[Phase], start: Variables, seed: int) -> Variables:
        config = self.config
        trained = self.fitting.fit(
            folder,
            phases,
            start["params"],
            {name: collection for name, collection in start.items() if name != "params"},
            seed=seed,
            log_every=config.log_every,
        )
        return {"params": trained.params, **trained.model_state}


def _with_recognizer(variables: Variables, other: Variables) -> Variables:
    """The variables with the recognizer's, running statistics included, from others."""
    return {
        name: {part: other[name][part] if part == "recognizer" else own for part, own in collection.items()}
        for name, collection in variables.items()
    }


def guide_folder(level: str, localizer: str, mode: ThetaMode, seed: int) -> str:
    """Where the workdir has what models share: guided localizers and pretrained recognizers."""
    return f"{run_folder(level, localizer, seed)}/guide_{mode}"


def joint_folder(level: str, localizer: str, name: str, seed: int) -> str:
    """Where the workdir has a model's joint training."""
    return f"{run_folder(level, localizer, seed)}/{name}"


def run_folder(level: str, localizer: str, seed: int) -> str:
    """Where the workdir has the trainings of one run."""
    return f"{level}/{localizer}/seed_{seed}"
