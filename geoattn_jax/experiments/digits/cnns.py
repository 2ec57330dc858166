"""Paper A's networks for single frames, by the names that configs give them.

A new one is one more entry of `CNNS`: a module that maps images (b, h, w, 1) to the logits of ten digits,
with a method `features`, what the LSTM sees of each frame.
"""

from collections.abc import Callable

import flax.linen as nn
from jax.typing import DTypeLike

from geoattn_jax.models.dcn_lenet import DCNLeNet
from geoattn_jax.models.deform_lenet import DeformLeNet
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.stn_lenet import STNLeNet

# (frame_size, *, dtype, remat) -> module, which computes in dtype, and with remat a second time for the
# gradients, see `layers.remat`. Those of the paper's Figure 1, and "deform", the one of its Eq. 1b.
CNNS: dict[str, Callable[..., nn.Module]] = {
    "lenet": lambda frame_size, **options: LeNet(**options),
    "stn": lambda frame_size, **options: STNLeNet(output_hw=(frame_size // 2, frame_size // 2), **options),
    "dcn": lambda frame_size, **options: DCNLeNet(**options),
    "deform": lambda frame_size, **options: DeformLeNet(**options),
}


def make_cnn(name: str, *, frame_size: int, dtype: DTypeLike | None = None, remat: bool = False) -> nn.Module:
    """A CNN by its name.

    Args:
      name: one of `CNNS`.
      frame_size: height and width of the frames, pixels.
      dtype: of the computation; None to infer it from images and parameters.
      remat: whether activations are computed again for the gradients.
    """
    return CNNS[name](frame_size, dtype=dtype, remat=remat)
