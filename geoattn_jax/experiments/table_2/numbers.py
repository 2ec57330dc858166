"""What one run of Table 2 comes to: accuracies on all classes and groups of them, measures of its regions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from geoattn_jax.data.kitchen import CLASS_GROUPS
from geoattn_jax.experiments.attention.theta_probe import class_from_theta
from geoattn_jax.experiments.attention.trainings import MODELS, AttentionLevel


class Measure(NamedTuple):
    """What a number is; see `Row`."""

    protocol: str
    metric: str
    group: str | None = None


ACCURACY = Measure("unseen_subjects", "accuracy")

Numbers = dict[Measure, float]


def numbers_of(level: AttentionLevel, localizer: str, name: str, seed: int) -> Numbers:
    """Of one run on the test clips.

    Args:
      level, localizer, name, seed: of the training, which is done if it is not yet.
    """
    task, variables = level.trained(localizer, name, seed)
    region = MODELS[name].region
    outcome = task.outcome(variables, "test", region)
    numbers = _accuracies("unseen_subjects", outcome.correct, outcome.labels)
    for metric, values in outcome.measures._asdict().items():
        numbers[Measure("unseen_subjects", metric)] = float(np.nanmean(values))
    if region == "attended":
        seen = task.outcome(variables, "train", region)
        told = class_from_theta(seen.theta, seen.labels, outcome.theta, outcome.labels)
        numbers |= _accuracies("from_theta_alone", told, outcome.labels)
    return numbers


def _accuracies(protocol: str, correct: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> Numbers:
    """The accuracy on all classes, and on each group of them."""
    accuracies = {Measure(protocol, "accuracy"): float(correct.mean())}
    for group, classes in CLASS_GROUPS.items():
        of_group = correct[np.isin(labels, classes)]
        accuracies[Measure(protocol, "accuracy", group)] = float(of_group.mean())
    return accuracies
