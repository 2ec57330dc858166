"""Labels on parameters: which of them a phase trains, and the partition into trained and frozen."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import optax

from geoattn_jax.training.phase import Params, Phase

LabelRule = Callable[[tuple[str, ...]], str]  # a path such as ("cnn", "conv1", "kernel") -> label
Labels = Any  # a pytree like the parameters, of strings


def by_module(path: tuple[str, ...]) -> str:
    """The name of the outermost module: {"cnn": ..., "lstm": ...} has the labels "cnn" and "lstm"."""
    return path[0]


def label_parameters(params: Params, rule: LabelRule) -> Labels:
    """Applies a rule to every parameter's path.

    Raises: ValueError if a label is not a string.
    """

    def label(path: tuple, _: Any) -> str:
        names = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
        found = rule(names)
        if not isinstance(found, str):
            raise ValueError(f"labels: the label of {'/'.join(names)} must be a string, got {found!r}")
        return found

    return jax.tree_util.tree_map_with_path(label, params)


def check_labels(phases: Sequence[Phase], labels: Labels) -> None:
    """Checks that every label a phase trains is the label of some parameter.

    Raises: ValueError naming the phase and the labels that exist.
    """
    known = set(jax.tree.leaves(labels))
    for phase in phases:
        unknown = sorted(set(phase.optimizers) - known)
        if unknown:
            raise ValueError(
                f"phase {phase.name!r}: optimizers has labels {unknown} that no parameter has; "
                f"the parameters' labels are {sorted(known)}"
            )


def partition(params: Params, labels: Labels, trained: Collection[str]) -> tuple[Params, Params]:
    """Splits a tree into the trained and the frozen parameters, each with None in place of the others."""
    chosen = jax.tree.map(lambda leaf, label: leaf if label in trained else None, params, labels)
    others = jax.tree.map(lambda leaf, label: None if label in trained else leaf, params, labels)
    return chosen, others


def combine(chosen: Params, others: Params) -> Params:
    """Undoes `partition`."""
    return jax.tree.map(
        lambda one, other: other if one is None else one, chosen, others, is_leaf=lambda leaf: leaf is None
    )


def phase_optimizer(phase: Phase, labels: Labels) -> optax.GradientTransformation:
    """One optimizer for the trained part of the tree: each label by its own rule."""
    trained_labels, _ = partition(labels, labels, phase.optimizers)
    return optax.partition(phase.optimizers, trained_labels)
