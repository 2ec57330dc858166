"""Networks in blocks, whose activations are kept for the gradients or computed again."""

from collections.abc import Callable, Iterable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

Block = Callable[[Any, Float[Array, "b h w c"]], Float[Array, "b ho wo co"]]


def through_blocks(
    network: nn.Module, blocks: Iterable[Block], images: Float[Array, "b h w c"], *, remat: bool
) -> Float[Array, "b ho wo co"]:
    """What a network's blocks make of images, one after the other.

    Each block is rematerialized by itself: as one, the whole network's activations would be there at once
    again, when they are computed for the second time.

    Args:
      network: on whose layers the blocks are.
      blocks: functions of the network and of what the block before gives.
      images: what the first one sees.
      remat: whether only what is between blocks is kept for the gradients, and what is inside them computed
        again: less memory for about one more forward pass.
    """
    again = remat and not network.is_initializing()  # parameters start alike
    for block in blocks:
        images = nn.remat(block)(network, images) if again else block(network, images)
    return images
