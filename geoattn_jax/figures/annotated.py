"""Clips with the regions that networks look at, and what the clips are recognized as."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geoattn_jax.data.video import write_video
from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_finite, check_not_empty
from geoattn_jax.figures.lettering import legible
from geoattn_jax.figures.outlines import COLOURS, add_outline
from geoattn_jax.ops.checks import check_shape

VIDEO_SIZE = 480  # pixels on the page, about
STRIP_SIZE = 224
STRIP_FRAMES = 6


def annotated_strip(
    path: str | os.PathLike[str],
    frames: UInt8[np.ndarray, "t h w 3"],
    outlines: Mapping[str, Float[np.ndarray, "t 4 2"]],
    lines: Sequence[str] = (),
) -> Figure:
    """Draws some frames of a clip, evenly spread, with the regions in each.

    Convention: corners are (y, x) in pixels of the frame, pixel centres at integers, y down.

    Args:
      path: the PNG file.
      frames: RGB, 8 bits.
      outlines: by name, the corners of a region in each frame, in order; what lies outside is not drawn.
      lines: of text that stand beside, such as the classes recognized.

    Returns: the figure in the file.
    Raises: ValueError if there is no frame or no region, corners are of another shape or not finite, or path
      does not end in ".png".
    """
    _check("annotated_strip", frames, outlines)
    chosen = np.unique(np.linspace(0, len(frames) - 1, STRIP_FRAMES).round().astype(int))
    height, width = canvas.shown_size(frames.shape[1:3], STRIP_SIZE)
    top = canvas.LINE + canvas.GAP
    beside = 2 * canvas.GAP + len(chosen) * (width + canvas.GAP)
    page_height = top + max(height, _text_height(outlines, lines)) + canvas.GAP
    with canvas.png(path, width=beside + _text_width(outlines, lines), height=page_height) as figure:
        for place, number in enumerate(chosen):
            left = canvas.GAP + place * (width + canvas.GAP)
            above = {"left": left + width // 2, "top": top - canvas.GAP}
            canvas.add_text(figure, f"frame {number}", **above, ha="center", va="bottom")
            axes = canvas.add_panel(figure, left=left, top=top, width=width, height=height)
            canvas.show_image(axes, frames[number] / 255)
            for colour, corners in zip(itertools.cycle(COLOURS), outlines.values()):
                add_outline(axes, corners[number], colour)
            _keep_inside(axes, frames)
        _add_text(figure, outlines, lines, left=beside, top=top)
    return figure


def annotated_video(
    path: str | os.PathLike[str],
    frames: UInt8[np.ndarray, "t h w 3"],
    outlines: Mapping[str, Float[np.ndarray, "t 4 2"]],
    lines: Sequence[str] = (),
    *,
    fps: float,
) -> None:
    """Writes a clip with the regions in each of its frames; see `annotated_strip`.

    Args:
      path: the file, ".mp4" or ".gif".
      frames, outlines, lines: as for `annotated_strip`.
      fps: frames per second.

    Raises: ValueError as `annotated_strip` and `write_video` do.
    """
    _check("annotated_video", frames, outlines)
    write_video(path, _pages(frames, outlines, lines), fps)


def _pages(
    frames: UInt8[np.ndarray, "t h w 3"], outlines: Mapping[str, np.ndarray], lines: Sequence[str]
) -> Iterator[UInt8[np.ndarray, "_ _ 3"]]:
    height, width = canvas.shown_size(frames.shape[1:3], VIDEO_SIZE)
    beside = width + 3 * canvas.GAP
    page_height = max(height, _text_height(outlines, lines)) + 2 * canvas.GAP
    with canvas.page(width=beside + _text_width(outlines, lines), height=page_height) as figure:
        page = FigureCanvasAgg(figure)
        axes = canvas.add_panel(figure, left=canvas.GAP, top=canvas.GAP, width=width, height=height)
        canvas.show_image(axes, frames[0] / 255)
        _add_text(figure, outlines, lines, left=beside, top=canvas.GAP)
        (image,) = axes.images
        polygons = [
            add_outline(axes, corners[0], colour)
            for colour, corners in zip(itertools.cycle(COLOURS), outlines.values())
        ]
        _keep_inside(axes, frames)
        for number, frame in enumerate(frames):
            image.set_data(frame)
            for polygon, corners in zip(polygons, outlines.values(), strict=True):
                polygon.set_xy(np.asarray(corners[number], np.float64)[:, ::-1])
            page.draw()
            yield np.asarray(page.buffer_rgba())[..., :3].copy()


def _keep_inside(axes, frames: UInt8[np.ndarray, "t h w 3"]) -> None:
    height, width = frames.shape[1:3]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _add_text(
    figure: Figure, outlines: Mapping[str, np.ndarray], lines: Sequence[str], *, left: int, top: int
) -> None:
    """The regions' names in their colours, and below them the lines."""
    colours = [*itertools.islice(itertools.cycle(COLOURS), len(outlines)), *("black" for _ in lines)]
    texts = legible([*outlines, *lines])
    for place, (text, colour) in enumerate(zip(texts, colours, strict=True)):
        canvas.add_text(figure, text, left=left, top=top + place * canvas.LINE, va="top", color=colour)


def _text_height(outlines: Mapping[str, np.ndarray], lines: Sequence[str]) -> int:
    return (len(outlines) + len(lines)) * canvas.LINE


def _text_width(outlines: Mapping[str, np.ndarray], lines: Sequence[str]) -> int:
    return max(canvas.text_width(text) for text in [*outlines, *lines]) + 2 * canvas.GAP


def _check(function: str, frames: np.ndarray, outlines: Mapping[str, np.ndarray]) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or frames.size == 0:
        raise ValueError(
            f"{function}: frames must be 8-bit RGB (t, h, w, 3), at least one, "
            f"got {frames.dtype} of shape {frames.shape}; read_video gives such frames"
        )
    check_not_empty(function, "outlines", outlines)
    for name, corners in outlines.items():
        argument = f"outlines[{name!r}]"
        because = "((y, x) of four corners in each frame)"
        check_shape(function, argument, corners, (len(frames), 4, 2), because, "give the corners in order")
        check_finite(function, argument, corners)
