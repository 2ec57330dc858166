"""Where the motion is, and the windows that it gives: hard-coded attentional regions."""

import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_finite, check_image, check_not_empty
from geoattn_jax.ops.checks import check_array, check_pair, check_shape

FRAME_SIZE = 512  # pixels on the page, about
CROP_SIZE = 192
COLOUR = "#F0E442"  # of Okabe & Ito's the one that shows on all colours of the maps


def motion_window(
    path: str | os.PathLike[str],
    frame: Float[np.ndarray, "h w 3"],
    motion: Float[np.ndarray, "h w"],
    top_left: Float[np.ndarray, "2"],
    window_hw: tuple[int, int],
) -> Figure:
    """Draws a frame and its motion map, both with the window of R_h (Liu et al. 2019, Eq. 2).

    Args:
      path: the PNG file.
      frame: RGB in [0, 1].
      motion: the motion map, squared pixels, not negative.
      top_left: the centre of the window's first pixel, (y, x), pixels.
      window_hw: height and width of the window, pixels.

    Returns: the figure in the file.
    Raises: ValueError if the frame is empty or not RGB in [0, 1], the map is of another size or not finite,
      top_left is not two finite numbers, window_hw not two whole ones, or path does not end in ".png".
    """
    name = "motion_window"
    _check_frame(name, "frame", frame)
    check_array(name, "motion", motion, "h w")
    because, remedy = "like frame", "take both from one frame, cropped alike"
    check_shape(name, "motion", motion, frame.shape[:2], because, remedy)
    check_finite(name, "motion", motion)
    _check_window(name, "top_left", top_left, window_hw)

    height, width = canvas.shown_size(motion.shape, FRAME_SIZE)
    titles = ("frame", f"motion, up to {motion.max():.3g} px² per frame")
    column = max(width, *(canvas.text_width(title) for title in titles)) + 2 * canvas.GAP
    top = canvas.LINE + canvas.GAP
    with canvas.png(path, width=2 * column, height=top + height + canvas.GAP) as figure:
        for place, title in enumerate(titles):
            start, middle = place * column + (column - width) // 2, place * column + column // 2
            canvas.add_text(figure, title, left=middle, top=top - canvas.GAP, ha="center", va="bottom")
            axes = canvas.add_panel(figure, left=start, top=top, width=width, height=height)
            if title == "frame":
                canvas.show_image(axes, frame)
            else:
                axes.imshow(np.asarray(motion, np.float64), cmap="viridis", vmin=0, aspect="auto")
                axes.set_axis_off()
            _outline(axes, top_left, window_hw)
    return figure


def level_crops(
    path: str | os.PathLike[str],
    crops: Mapping[str, Mapping[str, Float[np.ndarray, "_ _ 3"]]],
    top_left: Mapping[str, Mapping[str, Float[np.ndarray, "2"]]],
    window_hw: tuple[int, int],
) -> Figure:
    """Draws what each class looks like at each level, with the window of R_h (Liu et al. 2019, Figure 5).

    Args:
      path: the PNG file.
      crops: RGB images in [0, 1], by class (the rows) and level (the columns).
      top_left: for each of them the centre of the window's first pixel, (y, x), pixels.
      window_hw: height and width of the windows, pixels.

    Returns: the figure in the file.
    Raises: ValueError if there is no class, classes have different levels or windows, an image is empty or
      not RGB in [0, 1], a window is not two finite numbers, or path does not end in ".png".
    """
    name = "level_crops"
    check_not_empty(name, "crops", crops)
    levels = list(next(iter(crops.values())))
    for action, row in crops.items():
        for argument, columns in (("crops", row), ("top_left", top_left.get(action, {}))):
            if list(columns) != levels:
                raise ValueError(
                    f"{name}: {argument}[{action!r}] must have the levels {levels}, got {list(columns)}"
                )
        for level, image in row.items():
            _check_frame(name, f"crops[{action!r}][{level!r}]", image)
            _check_window(name, f"top_left[{action!r}][{level!r}]", top_left[action][level], window_hw)

    left = max(map(canvas.text_width, crops)) + 3 * canvas.GAP
    sizes = [
        canvas.shown_size(image.shape[:2], CROP_SIZE) for row in crops.values() for image in row.values()
    ]
    height, width = (max(size) + canvas.GAP for size in zip(*sizes, strict=True))
    width = max(width, *(canvas.text_width(level) + canvas.GAP for level in levels))
    top = canvas.LINE + canvas.GAP
    with canvas.png(path, width=left + len(levels) * width, height=top + len(crops) * height) as figure:
        for column, level in enumerate(levels):
            middle = left + column * width + (width - canvas.GAP) // 2
            canvas.add_text(figure, level, left=middle, top=top - canvas.GAP, ha="center", va="bottom")
        for place, (action, row) in enumerate(crops.items()):
            start = top + place * height
            side = {"left": left - 2 * canvas.GAP, "top": start + (height - canvas.GAP) // 2}
            canvas.add_text(figure, action, **side, ha="right", va="center")
            for column, (level, image) in enumerate(row.items()):
                shown_height, shown_width = canvas.shown_size(image.shape[:2], CROP_SIZE)
                corner = {"left": left + column * width, "top": start}
                axes = canvas.add_panel(figure, **corner, height=shown_height, width=shown_width)
                canvas.show_image(axes, image)
                _outline(axes, top_left[action][level], window_hw)
    return figure


def _outline(axes: Axes, top_left: Float[np.ndarray, "2"], window_hw: tuple[int, int]) -> None:
    (y, x), (height, width) = (float(start) - 0.5 for start in top_left), window_hw
    limits = axes.axis()
    dark_edge = withStroke(linewidth=4, foreground="black")
    axes.add_patch(
        Rectangle((x, y), width, height, fill=False, edgecolor=COLOUR, linewidth=2, path_effects=[dark_edge])
    )
    axes.axis(limits)


def _check_frame(function: str, name: str, frame: np.ndarray) -> None:
    check_image(function, name, frame, "h w 3")
    because, remedy = "(height, width, RGB)", "repeat a grey channel three times"
    check_shape(function, name, frame, (*frame.shape[:2], 3), because, remedy)


def _check_window(function: str, name: str, top_left: np.ndarray, window_hw: tuple[int, int]) -> None:
    check_array(function, name, top_left, "yx")
    check_shape(function, name, top_left, (2,), "(y and x)", "give the first pixel of one window")
    check_finite(function, name, top_left)
    check_pair(function, "window_hw", window_hw, minimum=1)
