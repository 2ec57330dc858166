"""Positions in other units, against affine_grid, against resized images, and in both directions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from variables import normal

from geoattn_jax.ops.coordinates import normalize_coords, rescale_coords
from geoattn_jax.ops.grid import affine_grid

HW = (12, 19)


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_theta_shifted_to_a_place_reads_there(align_corners):
    """The centre of a region is its theta's last column."""
    places = 10 * normal(0, 5, 2)
    options = {"input_hw": HW, "align_corners": align_corners}
    shift = normalize_coords(places, **options)
    theta = jnp.concatenate([jnp.zeros((5, 2, 2)), shift[..., None]], axis=-1)
    np.testing.assert_allclose(affine_grid(theta, output_hw=(1, 1), **options)[:, 0, 0], places, atol=1e-5)


def test_the_edges_and_the_middle():
    places = jnp.array([[[-0.5, -0.5], [11.5, 18.5], [5.5, 9.0]]])
    np.testing.assert_allclose(normalize_coords(places, input_hw=HW), [[[-1, -1], [1, 1], [0, 0]]], atol=1e-6)
    corners = jnp.array([[[0.0, 0.0], [11.0, 18.0], [0.0, 18.0]]])
    found = normalize_coords(corners, input_hw=HW, align_corners=True)
    np.testing.assert_allclose(found, [[[-1, -1], [1, 1], [1, -1]]], atol=1e-6)


def test_a_blob_moves_as_in_the_resized_image():
    y, x = jnp.meshgrid(jnp.arange(40.0), jnp.arange(70.0), indexing="ij")
    place, hw = jnp.array([[22.0, 31.0]]), (20, 105)
    image = jnp.exp(-((y - place[0, 0]) ** 2 + (x - place[0, 1]) ** 2) / 50)
    resized = jax.image.resize(image, hw, "linear")
    y, x = jnp.meshgrid(*(jnp.arange(float(size)) for size in hw), indexing="ij")
    centre = [float((resized * axis).sum() / resized.sum()) for axis in (y, x)]
    np.testing.assert_allclose(rescale_coords(place, from_hw=(40, 70), to_hw=hw)[0], centre, atol=0.01)


def test_there_and_back():
    places = 20 * normal(0, 3, 4, 2)
    there = rescale_coords(places, from_hw=HW, to_hw=(37, 7))
    np.testing.assert_allclose(rescale_coords(there, from_hw=(37, 7), to_hw=HW), places, atol=1e-4)


@pytest.mark.parametrize(
    "convert", [partial(normalize_coords, input_hw=HW), partial(rescale_coords, from_hw=HW, to_hw=(5, 6))]
)
def test_transformations_dtypes_and_unknown_places(convert, x64):
    places = normal(0, 3, 4, 2).at[1, 2].set(jnp.nan)
    found = jax.jit(convert)(places)
    assert found.dtype == jnp.float32
    assert np.isnan(found[1, 2]).all()
    assert np.isnan(found).sum() == 2
    each = jax.vmap(lambda one: convert(one[None])[0])(places)
    np.testing.assert_allclose(found, each, rtol=1e-5, atol=1e-6)
    assert convert(places.astype("float64")).dtype == jnp.float64
    check_grads(lambda places: convert(jnp.asarray(places)), (normal(0, 2, 3, 2, dtype="float64"),), order=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: normalize_coords(jnp.zeros((3, 2)), input_hw=(0, 4)), "normalize_coords: input_hw must"),
        (
            lambda: normalize_coords(jnp.zeros((3, 2)), input_hw=(1, 4), align_corners=True),
            "normalize_coords: input_hw must",
        ),
        (
            lambda: normalize_coords(jnp.zeros((3, 3)), input_hw=HW),
            "normalize_coords: coords must have sh",
        ),
        (
            lambda: rescale_coords(jnp.zeros((3, 2), jnp.int32), from_hw=HW, to_hw=HW),
            "rescale_coords: coords must be floating point",
        ),
        (lambda: rescale_coords(jnp.zeros((3, 2)), from_hw=HW, to_hw=(3,)), "rescale_coords: to_hw must"),
    ],
)
def test_wrong_arguments_are_named(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
