"""Checks of what is to be drawn; the errors name the argument, what came and what to do."""

from collections.abc import Mapping

import numpy as np

from geoattn_jax.ops.checks import check_array, check_shape

ROUNDING = 1e-3  # by how much interpolated pixels may leave [0, 1]; a grey level is 4e-3


def check_image(function: str, name: str, image: np.ndarray, axes: str) -> None:
    """Checks that `image` has the named axes, none of them empty, and pixels in [0, 1].

    Raises: ValueError showing the shape, the dtype or the range that came.
    """
    check_array(function, name, image, axes)
    if image.size == 0:
        raise ValueError(f"{function}: {name} must not be empty, got shape {image.shape}")
    darkest, brightest = float(image.min()), float(image.max())
    if not (darkest >= -ROUNDING and brightest <= 1 + ROUNDING):
        raise ValueError(
            f"{function}: {name} must hold pixels from 0 to 1, got {darkest:.4g} to {brightest:.4g}; "
            f"divide 8-bit pixels by 255, add a mean that was subtracted"
        )


def check_images(function: str, name: str, images: Mapping[str, np.ndarray], axes: str) -> None:
    """Checks every image in `images`, at least one, all of the first one's shape.

    Raises: ValueError naming the image by its key.
    """
    check_not_empty(function, name, images)
    first, shape = next((key, image.shape) for key, image in images.items())
    for key, image in images.items():
        check_image(function, f"{name}[{key!r}]", image, axes)
        because = f"like {name}[{first!r}]"
        check_shape(
            function, f"{name}[{key!r}]", image, shape, because, "draw unlike ones in files of their own"
        )


def check_finite(function: str, name: str, array: np.ndarray) -> None:
    """Checks that every number in `array` can be drawn.

    Raises: ValueError telling how many cannot.
    """
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise ValueError(
            f"{function}: {name} must be finite, got {bad} of {array.size} numbers NaN or infinite"
        )


def check_not_empty(function: str, name: str, mapping: Mapping[str, object]) -> None:
    """Checks that `mapping` has an entry.

    Raises: ValueError if it has none.
    """
    if not mapping:
        raise ValueError(f"{function}: {name} must have at least one entry, got none")
