"""What all figures share: pages measured in pixels, their PNG files, images, colours."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geoattn_jax.figures import lettering
from geoattn_jax.files import replacing

DPI = 128  # a power of two, so that sizes given in pixels stay whole in matplotlib's inches
LINE = 22  # pixels from one line of text to the next
GAP = 6  # pixels between an image and what is beside it

# Okabe & Ito 2008, told apart by colour-blind eyes, without yellow, which is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

STYLE = {
    "font.family": lettering.FAMILY,
    "font.size": lettering.SIZE,
    "text.parse_math": False,  # names are drawn as they are, dollar signs too
    "axes.titlesize": "medium",  # the size of all other text
}


@contextmanager
def png(path: str | os.PathLike[str], *, width: int, height: int) -> Iterator[Figure]:
    """A white page to draw on, written to `path` at the end unless drawing failed.

    The file appears at once and depends on what is drawn alone, neither on the user's matplotlib settings nor
    on the time. Folders on the way to it are made.

    Args:
      path: a file name ending in ".png".
      width: of the page, pixels.
      height: of the page, pixels.

    Raises: ValueError if the file name ends otherwise.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"path must end in '.png', got {str(path)!r}; figures are written as PNG only")
    with page(width=width, height=height) as figure, replacing(path) as file:
        yield figure
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


@contextmanager
def page(*, width: int, height: int) -> Iterator[Figure]:
    """A white page to draw on, in the same style whatever the user's matplotlib settings; pixels."""
    with style.context(["default", STYLE]):
        yield Figure((width / DPI, height / DPI), dpi=DPI)


def add_panel(figure: Figure, *, left: int, top: int, width: int, height: int) -> Axes:
    """Empty axes at a place given in pixels from the page's top-left corner."""
    page_width, page_height = figure.get_size_inches() * DPI
    place = (left / page_width, 1 - (top + height) / page_height, width / page_width, height / page_height)
    return figure.add_axes(place, xticks=[], yticks=[])


def add_text(figure: Figure, text: str, *, left: int, top: int, **alignment: str) -> None:
    """Text in any script at a place given in pixels from the page's top-left corner."""
    page_width, page_height = figure.get_size_inches() * DPI
    (drawn,) = lettering.legible([text])
    font = lettering.font_of(drawn)
    figure.text(left / page_width, 1 - top / page_height, drawn, fontproperties=font, **alignment)


def show_image(axes: Axes, image: Float[np.ndarray, "h w *rgb"]) -> None:
    """Fills `axes` with a grey or RGB image in [0, 1]; one unit of the axes is one pixel of the image."""
    shrunk = axes.get_window_extent().height < image.shape[0] - 0.5
    axes.imshow(
        np.asarray(image, np.float64).clip(0, 1), cmap="gray", vmin=0, vmax=1, aspect="auto",
        interpolation="hanning" if shrunk else "nearest",
    )  # fmt: skip
    axes.set_axis_off()


def shown_size(hw: tuple[int, int], longest: int) -> tuple[int, int]:
    """The height and width of an image on the page, pixels; the longer side is about `longest`.

    Every pixel of the image is a square of whole pixels on the page, unless the image is more than twice as
    large as `longest` and is scaled down.
    """
    zoom = longest / max(hw)
    if zoom > 0.5:
        zoom = max(1, round(zoom))
    height, width = (max(1, round(size * zoom)) for size in hw)
    return height, width


def text_width(text: str) -> int:
    """How many pixels wide a text is, of its lines the widest."""
    widths = [lettering.width_of(line, dpi=DPI) for line in text.split("\n") if line]
    return round(max(widths, default=0))
