"""Series of positions side by side: the taps of a convolution, or the points of attention, at some pixels."""

from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float, Int

from geoattn_jax.ops.cells import read
from geoattn_jax.ops.placement import reshape
from geoattn_jax.ops.sizes import Size


def slices(arrays: Any, series: tuple[Int[Array, ""], int], pixels: tuple[Int[Array, ""], Size]) -> Any:
    """Of arrays (b, series, n, ...) some series and pixels, each given by the first and their number."""

    def one(array: jax.Array) -> jax.Array:
        array = lax.dynamic_slice_in_dim(array, *series, axis=1)
        return lax.dynamic_slice_in_dim(array, *pixels, axis=2)

    return jax.tree.map(one, arrays)


def one_row(array: Float[Array, "b t n k"]) -> Float[Array, "b tn k"]:
    """The pixels of one series after those of another."""
    b, t, n, k = array.shape
    return reshape(array, (b, t * n, k))


def read_series(
    pixels: Float[Array, "b *pixels k"],
    positions: Float[Array, "b t n d"],
    image_shape: tuple[Size, ...],
) -> Float[Array, "b t n c"]:
    """The samples of `cells.read`."""
    samples = read(pixels, one_row(positions), image_shape=image_shape)
    return reshape(samples, (*positions.shape[:3], image_shape[-1]))
