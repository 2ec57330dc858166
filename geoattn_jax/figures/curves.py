"""Numbers that change over training."""

import itertools
import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Real
from matplotlib.figure import Figure

from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_finite, check_not_empty
from geoattn_jax.figures.lettering import font_of, legible
from geoattn_jax.ops.checks import check_shape

WIDTH, HEIGHT = 1120, 640  # pixels
DASHES = ("-", "--", ":")
FEW = 40  # points up to which each is marked


def learning_curves(
    path: str | os.PathLike[str],
    curves: Mapping[str, tuple[Real[np.ndarray, " _"], Real[np.ndarray, " _"]]],
    *,
    ylabel: str,
    xlabel: str = "step",
    title: str | None = None,
) -> Figure:
    """Draws curves such as loss or accuracy over steps, with one colour and line style each.

    Values that are not finite leave a gap.

    Args:
      path: the PNG file.
      curves: by name, the steps of each curve, which must not decrease, and its values.
      ylabel: what the values are, with their unit.
      xlabel: what the steps are, with their unit, such as "minutes".
      title: stands above the curves.

    Returns: the figure in the file.
    Raises: ValueError if there is no curve, one has no points, not as many values as steps, or steps that
      decrease or are not finite, or path does not end in ".png".
    """
    check_not_empty("learning_curves", "curves", curves)
    for name, (steps, values) in curves.items():
        _check_curve(f"curves[{name!r}]", steps, values)

    looks = itertools.product(DASHES, canvas.COLOURS)
    with canvas.png(path, width=WIDTH, height=HEIGHT) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel, title=title or "")
        lines = [
            axes.plot(
                *(np.asarray(numbers, np.float64) for numbers in curve),
                linestyle=dashes, color=colour, marker="o" if len(curve[0]) <= FEW else None, markersize=4,
            )[0]
            for curve, (dashes, colour) in zip(curves.values(), itertools.cycle(looks))
        ]  # fmt: skip
        whole_steps = all((np.mod(steps, 1) == 0).all() for steps, _ in curves.values())
        axes.xaxis.get_major_locator().set_params(integer=whole_steps)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        names = legible(list(curves))
        figure.legend(lines, names, loc="outside right upper", frameon=False, prop=font_of(*names))
    return figure


def _check_curve(name: str, steps: np.ndarray, values: np.ndarray) -> None:
    if steps.ndim != 1 or steps.size == 0:
        raise ValueError(
            f"learning_curves: the steps of {name} must be a row of numbers, at least one, "
            f"got shape {steps.shape}"
        )
    check_finite("learning_curves", f"the steps of {name}", steps)
    if (np.diff(steps) < 0).any():
        raise ValueError(f"learning_curves: the steps of {name} must not decrease; sort the points by step")
    because, remedy = "like its steps", "give one value for each step"
    check_shape("learning_curves", f"the values of {name}", values, steps.shape, because, remedy)
