"""Kernels in C++ for CPUs; where there are none, JAX computes the same.

`library` finds them, `columns` calls them, `choice` is between them and JAX. `build` compiles them.
"""

from geoattn_jax.native.choice import natively
from geoattn_jax.native.columns import Gradients, read, transpose
from geoattn_jax.native.library import Kernels, by_jax_alone, kernels

__all__ = ["Gradients", "Kernels", "by_jax_alone", "kernels", "natively", "read", "transpose"]
