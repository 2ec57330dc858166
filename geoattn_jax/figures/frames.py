"""Rows of frames: samples of the data and what spatial transformers make of them."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from geoattn_jax.figures import canvas
from geoattn_jax.figures.checks import check_images, check_not_empty

MAX_COLUMNS = 10
FRAME_SIZE = 128  # pixels on the page, about
PAIR_SIZE = 192


def sample_sequences(
    path: str | os.PathLike[str], videos: Mapping[str, Float[np.ndarray, "t h w"]]
) -> Figure:
    """Draws a sequence of frames per condition (Shan & Atanasov 2017, Figure 3).

    One row for each video, time from left to right. Of more than ten frames every second, third, ... is
    shown, beginning with the first; the headings count frames from 0.

    Args:
      path: the PNG file.
      videos: the video of each condition, grey values in [0, 1], all of one shape.

    Returns: the figure in the file.
    Raises: ValueError if there is no video, one is empty, not in [0, 1] or of another shape than the first,
      or path does not end in ".png".
    """
    check_images("sample_sequences", "videos", videos, "t h w")
    num_frames = len(next(iter(videos.values())))
    shown = range(0, num_frames, -(-num_frames // MAX_COLUMNS))
    rows = {condition: list(video[shown]) for condition, video in videos.items()}
    return _write_rows(path, rows, headings=[f"frame {frame}" for frame in shown], size=FRAME_SIZE)


def transformer_pairs(
    path: str | os.PathLike[str],
    inputs: Mapping[str, Float[np.ndarray, "h w"]],
    outputs: Mapping[str, Float[np.ndarray, "ho wo"]],
) -> Figure:
    """Draws what a spatial transformer makes of images (Shan & Atanasov 2017, Figure 4).

    The first row holds the inputs, the second the outputs, a column for each condition. Both are drawn at
    about the same size on the page; the row's name tells how many pixels they have.

    Args:
      path: the PNG file.
      inputs: the image of each condition, grey values in [0, 1], all of one shape.
      outputs: what the transformer made of each, grey values in [0, 1], all of one shape.

    Returns: the figure in the file.
    Raises: ValueError if inputs and outputs have different conditions or none, an image is empty, not in
      [0, 1] or of another shape than the first, or path does not end in ".png".
    """
    check_images("transformer_pairs", "inputs", inputs, "h w")
    check_images("transformer_pairs", "outputs", outputs, "h w")
    if inputs.keys() != outputs.keys():
        raise ValueError(
            f"transformer_pairs: outputs must have the conditions of inputs, {sorted(inputs)}, "
            f"got {sorted(outputs)}"
        )
    rows = {
        _size_named("input", inputs): list(inputs.values()),
        _size_named("output", outputs): [outputs[condition] for condition in inputs],
    }
    return _write_rows(path, rows, headings=list(inputs), size=PAIR_SIZE)


def attended_regions(
    path: str | os.PathLike[str], regions: Mapping[str, Mapping[str, Float[np.ndarray, "h w 3"]]]
) -> Figure:
    """Draws what networks look at (Liu et al. 2019, Figures 7 and 8).

    Args:
      path: the PNG file.
      regions: RGB images in [0, 1], all of one shape: the rows by name, in each the columns by heading.

    Returns: the figure in the file.
    Raises: ValueError if rows have different columns or none, an image is empty or not in [0, 1] or of
      another shape than the first, or path does not end in ".png".
    """
    check_not_empty("attended_regions", "regions", regions)
    first = next(iter(regions))
    images = {}
    for name, row in regions.items():
        if row.keys() != regions[first].keys():
            raise ValueError(
                f"attended_regions: regions[{name!r}] must have the columns of regions[{first!r}], "
                f"{list(regions[first])}, got {list(row)}"
            )
        images |= {f"{name}, {heading}": image for heading, image in row.items()}
    check_images("attended_regions", "regions", images, "h w 3")
    headings = list(regions[first])
    rows = {name: [row[heading] for heading in headings] for name, row in regions.items()}
    return _write_rows(path, rows, headings=headings, size=FRAME_SIZE)


def _size_named(name: str, images: Mapping[str, np.ndarray]) -> str:
    height, width = next(iter(images.values())).shape
    return f"{name}\n{height} × {width} px"


def _write_rows(
    path: str | os.PathLike[str],
    rows: Mapping[str, Sequence[np.ndarray]],
    *,
    headings: Sequence[str],
    size: int,
) -> Figure:
    """Writes rows of images, named on the left, with a heading above each column."""
    sizes = [canvas.shown_size(images[0].shape[:2], size) for images in rows.values()]
    column = max(*(width for _, width in sizes), *(canvas.text_width(heading) for heading in headings))
    left = max(canvas.text_width(name) for name in rows) + 3 * canvas.GAP
    top = canvas.LINE + canvas.GAP
    width = left + len(headings) * (column + canvas.GAP)
    height = top + sum(height + canvas.GAP for height, _ in sizes)
    with canvas.png(path, width=width, height=height) as figure:
        for place, heading in enumerate(headings):
            middle = left + place * (column + canvas.GAP) + column // 2
            canvas.add_text(figure, heading, left=middle, top=top - canvas.GAP, ha="center", va="bottom")
        for (name, images), (height, width) in zip(rows.items(), sizes, strict=True):
            side = left - 2 * canvas.GAP
            canvas.add_text(figure, name, left=side, top=top + height // 2, ha="right", va="center")
            for place, image in enumerate(images):
                start = left + place * (column + canvas.GAP) + (column - width) // 2
                panel = canvas.add_panel(figure, left=start, top=top, width=width, height=height)
                canvas.show_image(panel, image)
            top += height + canvas.GAP
    return figure
