"""Where a deformable layer reads."""

import itertools
import os

import numpy as np
from jaxtyping import Float, Int, Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_finite, check_image

PANEL_SIZE = 640  # pixels on the page, about
OUTSIDE = 0.25  # how far beyond the frame positions are shown, in its longer side

# Okabe & Ito 2008, those that show on black.
COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00")


def sampling_points(
    path: str | os.PathLike[str],
    frame: Float[np.ndarray, "h w"],
    centres: Real[np.ndarray, "n 2"],
    points: Float[np.ndarray, "n k 2"],
) -> Figure:
    """Marks output pixels of a deformable layer on a frame, each with the positions that it reads.

    A square is an output pixel, the dots of its colour are its positions: one for each tap of a deformable
    convolution, or for each channel of a per-channel resampling. Positions beyond the frame are on white;
    those too far out are not drawn, and the note says how many.

    Convention: positions are (y, x) in pixels of the frame, pixel centres at integers, y down.

    Args:
      path: the PNG file.
      frame: grey values in [0, 1].
      centres: the output pixels, pixels (y, x).
      points: the k positions that each reads, pixels (y, x).

    Returns: the figure in the file.
    Raises: ValueError if the frame is empty or not in [0, 1], centres or points have other shapes or are not
      finite, a centre is not in the frame, or path does not end in ".png".
    """
    check_image("sampling_points", "frame", frame, "h w")
    _check_positions("centres", centres, "(n, 2)", centres.ndim == 2)
    _check_positions("points", points, f"({len(centres)}, k, 2)", points.shape[:-2] == centres.shape[:1])
    if ((centres < 0) | (centres > np.array(frame.shape) - 1)).any():
        raise ValueError(
            f"sampling_points: centres must lie in the frame of {frame.shape} pixels, got from "
            f"{centres.min(axis=0)} to {centres.max(axis=0)}; give (y, x) in pixels of the frame"
        )

    points = np.asarray(points, np.float64)
    (top, left), (bottom, right) = margins = _margins(frame.shape, points)
    height, width = frame.shape
    zoom = canvas.shown_size(frame.shape, PANEL_SIZE)[0] / height
    panel_height, panel_width = round((top + height + bottom) * zoom), round((left + width + right) * zoom)
    note = _note(frame.shape, points, margins)
    heading = (note.count("\n") + 1) * canvas.LINE + canvas.GAP
    page_width = max(panel_width, canvas.text_width(note)) + 2 * canvas.GAP
    with canvas.png(path, width=page_width, height=heading + panel_height + canvas.GAP) as figure:
        canvas.add_text(figure, note, left=canvas.GAP, top=canvas.GAP, ha="left", va="top")
        start = (page_width - panel_width) // 2
        axes = canvas.add_panel(figure, left=start, top=heading, width=panel_width, height=panel_height)
        canvas.show_image(axes, frame)
        for centre, positions, colour in zip(centres, points, itertools.cycle(COLOURS)):
            _mark_output_pixel(axes, centre, colour)
            _mark_positions(axes, positions, colour)
        axes.set(xlim=(-0.5 - left, width - 0.5 + right), ylim=(height - 0.5 + bottom, -0.5 - top))
    return figure


def _mark_output_pixel(axes: Axes, centre: Real[np.ndarray, "2"], colour: str) -> None:
    dark_edge = withStroke(linewidth=4, foreground="black")  # for bright parts of the frame
    y, x = centre
    axes.plot(
        x, y, "s", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=2,
        path_effects=[dark_edge],
    )  # fmt: skip


def _mark_positions(axes: Axes, positions: Float[np.ndarray, "k 2"], colour: str) -> None:
    y, x = positions.T
    axes.plot(x, y, "o", markersize=4, color=colour, markeredgecolor="black", markeredgewidth=0.5)


def _check_positions(name: str, positions: np.ndarray, expected: str, axes_fit: bool) -> None:
    if not axes_fit or positions.shape[-1] != 2 or positions.size == 0:
        raise ValueError(
            f"sampling_points: {name} must have shape {expected}, none empty, got {positions.shape}; "
            f"give (y, x) of each output pixel and of each position that it reads"
        )
    check_finite("sampling_points", name, positions)


def _margins(hw: tuple[int, int], points: Float[np.ndarray, "n k 2"]) -> Int[np.ndarray, "2 2"]:
    """How many pixels to show above and left, below and right of the frame, so that the points are seen."""
    limit = round(OUTSIDE * max(hw))
    beyond = np.stack([-points.min(axis=(0, 1)), points.max(axis=(0, 1)) - (np.array(hw) - 1)])
    return np.ceil(beyond.clip(0, limit)).astype(int)


def _note(hw: tuple[int, int], points: Float[np.ndarray, "n k 2"], margins: Int[np.ndarray, "2 2"]) -> str:
    """What is drawn, and how many positions are too far out to be drawn."""
    each = "position" if points.shape[1] == 1 else f"{points.shape[1]} positions"
    note = f"squares: output pixels; dots: the {each} that each reads"
    before, after = margins
    hidden = ((points < -0.5 - before) | (points > np.array(hw) - 0.5 + after)).any(axis=-1).sum()
    return note if hidden == 0 else f"{note}\n{hidden} of {points.shape[0] * points.shape[1]} lie farther out"
