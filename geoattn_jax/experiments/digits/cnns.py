"""Paper A's networks for single frames, by the names that configs give them.

A new one is one more entry of `CNNS`: a module that maps images (b, h, w, 1) to the logits of ten digits,
with a method `features`, what the LSTM sees of each frame.
"""

from collections.abc import Callable

import flax.linen as nn

from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.stn_lenet import STNLeNet

# Height and width of frames -> module. Those of the paper's Figure 1, and "deform", the one of its Eq. 1b.
CNNS: dict[str, Callable[[int], nn.Module]] = {
    "lenet": lambda frame_size: LeNet(),
    "stn": lambda frame_size: STNLeNet(output_hw=(frame_size // 2, frame_size // 2)),
    "dcn": lambda frame_size: DCNLeNet(),
    "deform": lambda frame_size: DeformLeNet(),
}


def make_cnn(name: str, *, frame_size: int) -> nn.Module:
    """A CNN by its name.

    Args:
      name: one of `CNNS`.
      frame_size: height and width of the frames, pixels.
    """
    return CNNS[name](frame_size)
