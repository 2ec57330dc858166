"""Checks of the classes of clips."""

import numpy as np

from geoattn_jax.ops.checks import check_shape


def check_labels(function: str, labels: np.ndarray, scores_shape: tuple[int, int]) -> None:
    """Checks that there is a class for each of n clips, given the shape (n, classes).

    Raises: ValueError showing the shape, the dtype or the range that came.
    """
    num_clips, num_classes = scores_shape
    check_shape(
        function,
        "labels",
        labels,
        (num_clips,),
        because="(a class for each clip)",
        remedy="give one for each",
    )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{function}: labels must be whole numbers, got {labels.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"{function}: labels must be from 0 to {num_classes - 1} (there are {num_classes} classes), "
            f"got {labels.min()} to {labels.max()}"
        )
