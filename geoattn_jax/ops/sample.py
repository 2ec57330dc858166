"""Reading images at real-valued positions."""

from typing import Literal

from jaxtyping import Array, Float

PaddingMode = Literal["zeros", "border"]


def bilinear_sample(
    image: Float[Array, "b h w c"], coords: Float[Array, "b *s 2"], *, padding_mode: PaddingMode = "zeros"
) -> Float[Array, "b *s c"]:
    """Reads `image` at real-valued positions (Jaderberg et al. 2015, Eq. 5)."""
    from geoattn_jax.ops import reference

    return reference.bilinear_sample(image, coords, padding_mode=padding_mode)
