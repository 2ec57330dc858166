"""An elastic deformation: the image, the field, the result."""

import os

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_finite, check_image
from geoattn_jax.ops.checks import check_array, check_shape

PANEL_SIZE = 384  # pixels on the page, about
ARROWS = 16  # along the longer side, about


def elastic(
    path: str | os.PathLike[str],
    image: Float[np.ndarray, "h w"],
    field: Float[np.ndarray, "h w 2"],
    deformed: Float[np.ndarray, "h w"],
) -> Figure:
    """Draws an image, an elastic displacement field and the deformed image (Shan & Atanasov 2017, Figure 5).

    An arrow leads from a pixel of the deformed image to the place in the original that it reads, to scale:
    for (dy, dx) = (1, 0) it is one image pixel long and points down.

    Convention: the last axis of field is (dy, dx), pixels, y down; deformed at p is image at p + field.

    Args:
      path: the PNG file.
      image: the original, grey values in [0, 1].
      field: displacements, pixels.
      deformed: the result, grey values in [0, 1].

    Returns: the figure in the file.
    Raises: ValueError if an array is of another shape than image, an image is empty or not in [0, 1], the
      field is not finite, or path does not end in ".png".
    """
    check_image("elastic", "image", image, "h w")
    check_image("elastic", "deformed", deformed, "h w")
    check_array("elastic", "field", field, "h w 2")
    for name, array, expected in (
        ("field", field, (*image.shape, 2)),
        ("deformed", deformed, image.shape),
    ):
        check_shape("elastic", name, array, expected, "like image", "take all three from one frame")
    check_finite("elastic", "field", field)

    field = np.asarray(field, np.float64)
    stride = max(1, round(max(image.shape) / ARROWS))
    longest = np.linalg.norm(field, axis=-1).max()
    note = f"arrows from a pixel to where it reads,\nto scale, every {stride} px, up to {longest:.1f} px long"
    height, width = canvas.shown_size(image.shape, PANEL_SIZE)
    column = max(width, canvas.text_width(note)) + 2 * canvas.GAP
    top = canvas.LINE + canvas.GAP
    bottom = top + height + canvas.GAP
    with canvas.png(path, width=3 * column, height=bottom + 2 * canvas.LINE) as figure:
        original, arrows, result = (
            canvas.add_panel(figure, left=left + (column - width) // 2, top=top, width=width, height=height)
            for left in range(0, 3 * column, column)
        )
        canvas.show_image(original, image)
        _draw_arrows(arrows, field, stride)
        canvas.show_image(result, deformed)
        for place, title in enumerate(("original", "elastic field", "deformed")):
            middle = place * column + column // 2
            canvas.add_text(figure, title, left=middle, top=top - canvas.GAP, ha="center", va="bottom")
        canvas.add_text(figure, note, left=column + column // 2, top=bottom, ha="center", va="top")
    return figure


def _draw_arrows(axes: Axes, field: Float[np.ndarray, "h w 2"], stride: int) -> None:
    height, width, _ = field.shape
    y, x = (np.arange(stride // 2, size, stride) for size in (height, width))
    dy, dx = np.moveaxis(field[np.ix_(y, x)], -1, 0)
    axes.quiver(
        x, y, dx, dy, color=canvas.COLOURS[0],
        angles="xy", scale_units="xy", scale=1,
        units="dots", width=2, headwidth=5, headlength=6, headaxislength=5,
    )  # fmt: skip
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
