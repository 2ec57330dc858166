"""Convolutional and dense layers that start as those of Keras, in which paper A's program was written.

Kernels are glorot-uniform, biases zero, paddings "SAME".
"""

from functools import partial

import flax.linen as nn

conv = partial(nn.Conv, kernel_init=nn.initializers.glorot_uniform())
dense = partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())
