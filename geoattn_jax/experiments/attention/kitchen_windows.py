"""The hard-coded regions of KitchenMini's clips: found once, then read."""

import time
from pathlib import Path

import numpy as np
from jaxtyping import Float

from geoattn_jax.data.kitchen import KitchenMini
from geoattn_jax.data.kitchen_regions import windows_of_crops
from geoattn_jax.training import cached_arrays
from geoattn_jax.training.devices import on_all_devices


def kept_windows(
    path: Path, kitchen: KitchenMini, seed: int, num_clips: int, *, clips_at_once: int
) -> Float[np.ndarray, "n crops 2"]:
    """The region R_h of every crop of a split's clips, see `windows_of_crops`.

    Args:
      path: the file that keeps them, `NAME.npz`.
      kitchen: the split, at one level.
      seed: of the world.
      num_clips: of the split.
      clips_at_once: that a device renders to find them.
    """

    def find() -> dict[str, np.ndarray]:
        began = time.monotonic()
        parts = on_all_devices(
            lambda seed, clips: windows_of_crops(kitchen, seed, clips),
            np.int32(seed),
            lambda rows: rows.astype(np.int32),
            count=num_clips,
            batch_size=clips_at_once,
        )
        return {"windows": np.concatenate(list(parts)), "seconds": np.array(time.monotonic() - began)}

    return cached_arrays(path, find)["windows"]
