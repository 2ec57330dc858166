"""Which classes are taken for which."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from geoattn_jax.figures import canvas
from geoattn_jax.figures.lettering import font_of, legible
from geoattn_jax.ops.checks import check_shape

CELL = 44  # pixels, of few classes: room for a percentage
SMALL_CELL = 18  # of many
FEW = 20  # classes up to which each cell has its number
BAR = 14  # pixels


def confusion_matrix(
    path: str | os.PathLike[str],
    counts: Int[np.ndarray, "classes classes"],
    class_names: Sequence[str],
) -> Figure:
    """Draws which part of each class's clips is taken for which class.

    A row for each true class, a column for each predicted one; every row adds up to 100%. The row of a class
    without clips is grey. Of up to 20 classes the percentages stand in the cells.

    Args:
      path: the PNG file.
      counts: how many clips of each class (row) were taken for each class (column).
      class_names: as they are to be read, in the order of the rows.

    Returns: the figure in the file.
    Raises: ValueError if counts are not square with a class at least, whole numbers and not negative, there
      is not a name for each class, or path does not end in ".png".
    """
    _check(counts, class_names)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100.0 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)

    few = len(counts) <= FEW
    size = len(counts) * (CELL if few else SMALL_CELL)
    class_names = legible(class_names)
    longest = max(canvas.text_width(name) for name in class_names)
    left, top = longest + canvas.LINE + 3 * canvas.GAP, longest + canvas.LINE + 3 * canvas.GAP
    bar_left = left + size + 3 * canvas.GAP
    width = bar_left + BAR + canvas.text_width("100%") + 4 * canvas.GAP
    with canvas.png(path, width=width, height=top + size + 2 * canvas.GAP) as figure:
        axes = canvas.add_panel(figure, left=left, top=top, width=size, height=size)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto", interpolation="nearest")
        axes.set_facecolor("0.85")
        places = range(len(counts))
        font = font_of(*class_names)
        axes.set_xticks(places, class_names, rotation=90, fontproperties=font)
        axes.set_yticks(places, class_names, fontproperties=font)
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        canvas.add_text(figure, "predicted", left=left + size // 2, top=canvas.GAP, ha="center", va="top")
        middle = top + size // 2
        canvas.add_text(
            figure, "true", left=canvas.GAP, top=middle, ha="left", va="center", rotation="vertical"
        )
        if few:
            for (row, column), share in np.ndenumerate(shares):
                if share > 0.5:  # rounds to one per cent or more
                    colour = "white" if share > 60 else "black"
                    axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour)
        bar = canvas.add_panel(figure, left=bar_left, top=top, width=BAR, height=size)
        figure.colorbar(image, cax=bar, ticks=[0, 50, 100], format="{x:.0f}%")
    return figure


def _check(counts: np.ndarray, class_names: Sequence[str]) -> None:
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(
            f"confusion_matrix: counts must be square, a row and a column for each class, "
            f"got shape {counts.shape}"
        )
    if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
        raise ValueError(
            f"confusion_matrix: counts must be whole numbers, none negative, "
            f"got {counts.dtype} from {counts.min():.4g} on; give numbers of clips, not shares"
        )
    check_shape(
        "confusion_matrix", "class_names", np.asarray(class_names, object), (len(counts),),
        because="(a name for each row of counts)", remedy="name every class, those without clips too",
    )  # fmt: skip
