"""Levels of attention: the sizes at which a video is looked at (Liu et al. 2019, section 3.3 and Table 1).

At each level the frame is first scaled (I_rs), then a square as high as the frame is cropped (I_crop), and
the region in it (R_h, R_d) is a window of always the same number of pixels: the larger the frame, the smaller
the part of the scene that fits into the window. "detail" shows the smallest part, "general" the largest.
"""

import dataclasses
from typing import Literal

LevelName = Literal["detail", "middle", "general"]

LEVEL_NAMES = ("detail", "middle", "general")


@dataclasses.dataclass(frozen=True)
class Level:
    """The sizes of one level, (height, width) in pixels.

    Attributes:
      name: "detail", "middle" or "general".
      frame_hw: of the scaled frame, I_rs.
      crop_hw: of the crop, I_crop, which moves along the frame's longer side.
      window_hw: of the region, R_h and R_d, and of what the localizer sees, I'_crop.
      max_pool: how the localizer's input is made from the crop: max-pooling by this factor, or, where it is
        1, resizing to window_hw.
    """

    name: LevelName
    frame_hw: tuple[int, int]
    crop_hw: tuple[int, int]
    window_hw: tuple[int, int]
    max_pool: int

    @property
    def crop_range(self) -> int:
        """The left edge of the rightmost crop, pixels; the leftmost one's is 0."""
        return self.frame_hw[1] - self.crop_hw[1]


# KitchenMini's: Table 1 divided by 7.
LEVELS = {
    "detail": Level("detail", (128, 170), (128, 128), (32, 32), max_pool=4),
    "middle": Level("middle", (64, 85), (64, 64), (32, 32), max_pool=2),
    "general": Level("general", (37, 49), (37, 37), (32, 32), max_pool=1),
}

# Liu et al. 2019, Table 1.
PAPER_LEVELS = {
    "detail": Level("detail", (896, 1189), (896, 896), (224, 224), max_pool=4),
    "middle": Level("middle", (448, 594), (448, 448), (224, 224), max_pool=2),
    "general": Level("general", (256, 340), (256, 256), (224, 224), max_pool=1),
}
