"""`python -m geoattn_jax.native` says which kernels compute on this machine's CPU."""

from geoattn_jax.native.library import kernels

print(kernels())
