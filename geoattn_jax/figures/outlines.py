"""Where regions lie in a frame."""

import itertools
import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke

from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_finite, check_image, check_not_empty
from geoattn_jax.ops.checks import check_array, check_shape

PANEL_SIZE = 640  # pixels on the page, about

# Okabe & Ito 2008, those that show on dark and bright.
COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")


def region_outlines(
    path: str | os.PathLike[str],
    frame: Float[np.ndarray, "h w 3"],
    outlines: Mapping[str, Float[np.ndarray, "4 2"]],
) -> Figure:
    """Outlines regions in a frame, each in its colour, named beside it.

    Convention: corners are (y, x) in pixels of the frame, pixel centres at integers, y down.

    Args:
      path: the PNG file.
      frame: RGB in [0, 1].
      outlines: by name, the region's corners in order; what lies outside of the frame is not drawn.

    Returns: the figure in the file.
    Raises: ValueError if the frame is empty or not RGB in [0, 1], there is no region, corners have another
      shape or are not finite, or path does not end in ".png".
    """
    check_image("region_outlines", "frame", frame, "h w 3")
    because, remedy = "(height, width, RGB)", "repeat a grey channel three times"
    check_shape("region_outlines", "frame", frame, (*frame.shape[:2], 3), because, remedy)
    check_not_empty("region_outlines", "outlines", outlines)
    for name, corners in outlines.items():
        argument = f"outlines[{name!r}]"
        check_array("region_outlines", argument, corners, "4 2")
        because, remedy = "((y, x) of each corner)", "give the corners in order"
        check_shape("region_outlines", argument, corners, (4, 2), because, remedy)
        check_finite("region_outlines", argument, corners)

    height, width = canvas.shown_size(frame.shape[:2], PANEL_SIZE)
    names = max(canvas.text_width(name) for name in outlines)
    page_height = max(height, len(outlines) * canvas.LINE) + 2 * canvas.GAP
    with canvas.png(path, width=width + names + 5 * canvas.GAP, height=page_height) as figure:
        axes = canvas.add_panel(figure, left=canvas.GAP, top=canvas.GAP, width=width, height=height)
        canvas.show_image(axes, frame)
        for line, (colour, (name, corners)) in enumerate(zip(itertools.cycle(COLOURS), outlines.items())):
            add_outline(axes, corners, colour)
            place = {"left": width + 3 * canvas.GAP, "top": canvas.GAP + line * canvas.LINE}
            canvas.add_text(figure, name, **place, va="top", color=colour)
        axes.set(xlim=(-0.5, frame.shape[1] - 0.5), ylim=(frame.shape[0] - 0.5, -0.5))
    return figure


def add_outline(axes: Axes, corners: Float[np.ndarray, "4 2"], colour: str) -> Polygon:
    """Outlines a region, its corners (y, x) in pixels of the image in `axes`."""
    outline = Polygon(np.asarray(corners, np.float64)[:, ::-1], fill=False, linewidth=2)
    outline.set(edgecolor=colour, path_effects=[withStroke(linewidth=4, foreground="black")])
    axes.add_patch(outline)
    return outline
